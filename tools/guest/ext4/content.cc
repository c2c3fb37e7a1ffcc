// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>

#include "tools/guest/ext4/xattr_reader.h"

namespace mica::guest {

namespace {

// Reads a byte range that lies within one extent. Whole blocks go straight into `to`.
class PhysicalReader {
 public:
  PhysicalReader(ext2_filsys fs, IoManager& io) : fs_(fs), io_(io), block_bytes_(fs->blocksize) {}

  Result<void> Read(uint64_t physical_offset, Bytes to) {
    while (!to.empty()) {
      const uint64_t block = physical_offset / block_bytes_;
      const uint64_t skip = physical_offset % block_bytes_;
      size_t done = 0;
      if (skip == 0 && to.size() >= block_bytes_) {
        const uint64_t count = std::min<uint64_t>(to.size() / block_bytes_, kBlocksPerRead);
        TRY(Blocks(block, count, to.data()));
        done = count * block_bytes_;
      } else {
        scratch_.resize(block_bytes_);
        TRY(Blocks(block, 1, scratch_.data()));
        done = std::min<size_t>(to.size(), block_bytes_ - skip);
        std::memcpy(to.data(), scratch_.data() + skip, done);
      }
      to = to.subspan(done);
      physical_offset += done;
    }
    return {};
  }

 private:
  static constexpr uint64_t kBlocksPerRead = 1024;

  Result<void> Blocks(uint64_t block, uint64_t count, void* to) {
    const errcode_t code = io_channel_read_blk64(fs_->io, block, static_cast<int>(count), to);
    if (code != 0) return Ext2Error(io_, code, fmt::format("reading block {}", block));
    return {};
  }

  ext2_filsys fs_;
  IoManager& io_;
  uint64_t block_bytes_;
  std::vector<std::byte> scratch_;
};

}  // namespace

Result<void> ReadMapped(ext2_filsys fs, IoManager& io, const FileMap& map, ByteRange range,
                        Bytes to) {
  const uint64_t block_bytes = fs->blocksize;
  FillZero(to);
  const auto first = std::ranges::partition_point(map.extents, [&](const FileExtent& extent) {
    return extent.end() * block_bytes <= range.offset;
  });
  PhysicalReader reader(fs, io);
  for (auto extent = first; extent != map.extents.end(); ++extent) {
    const ByteRange covered{extent->logical * block_bytes, extent->length * block_bytes};
    if (covered.offset >= range.end()) break;
    if (extent->unwritten) continue;
    const ByteRange part = Intersect(covered, range);
    const uint64_t physical = extent->physical * block_bytes + (part.offset - covered.offset);
    TRY(reader.Read(physical, to.subspan(part.offset - range.offset, part.length)));
  }
  return {};
}

Result<std::string> ReadInline(ext2_filsys fs, IoManager& io, const RawInode& inode) {
  std::string content(AsText(inode.block_area()));
  ASSIGN(const std::string tail, ReadInlineTail(fs, io, inode));
  content += tail;
  if (inode.size() > content.size()) {
    return Error{Errc::kCorrupt, fmt::format("inode {} says {} bytes of inline data and holds {}",
                                             inode.number, inode.size(), content.size())};
  }
  content.resize(inode.size());
  return content;
}

Result<std::string> ReadSymlinkTarget(ext2_filsys fs, IoManager& io, const RawInode& inode) {
  const uint64_t size = inode.size();
  if (size == 0 || size > std::min<uint64_t>(PATH_MAX, fs->blocksize)) {
    return Error{Errc::kCorrupt,
                 fmt::format("symlink of inode {} is {} bytes long", inode.number, size)};
  }
  if (inode.Has(EXT4_INLINE_DATA_FL)) return ReadInline(fs, io, inode);
  std::string target;
  if (!HasBlockMap(inode)) {
    target = AsText(inode.block_area().first(size));
  } else {
    ASSIGN(const FileMap map, MapInode(fs, io, inode));
    target.resize(size);
    TRY(ReadMapped(fs, io, map, {0, size}, std::as_writable_bytes(std::span(target))));
  }
  if (target.find('\0') != std::string::npos && !inode.Has(EXT4_ENCRYPT_FL)) {
    return Error{Errc::kCorrupt,
                 fmt::format("symlink of inode {} holds a zero byte", inode.number)};
  }
  return target;
}

std::vector<ByteRange> StoredRangesOf(const FileMap& map, uint64_t block_bytes, uint64_t size) {
  std::vector<ByteRange> ranges;
  for (const FileExtent& extent : map.extents) {
    if (extent.unwritten) continue;
    const ByteRange whole{extent.logical * block_bytes, extent.length * block_bytes};
    const ByteRange part = Intersect(whole, {0, size});
    if (part.empty()) continue;
    if (!ranges.empty() && ranges.back().end() == part.offset) {
      ranges.back().length += part.length;
    } else {
      ranges.push_back(part);
    }
  }
  return ranges;
}

}  // namespace mica::guest
