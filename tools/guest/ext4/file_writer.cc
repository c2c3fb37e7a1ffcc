// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/file_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/checked_math.h"
#include "tools/guest/ext4/content.h"
#include "tools/guest/ext4/xattr_writer.h"

namespace mica::guest {

namespace {

// A large write is split so that counts fit the library's int.
constexpr uint64_t kBlocksPerWrite = 4096;

FileExtent PartOf(const FileExtent& extent, uint64_t first, uint64_t end) {
  FileExtent part = extent;
  part.logical = std::max(extent.logical, first);
  part.physical += part.logical - extent.logical;
  part.length = std::min(extent.end(), end) - part.logical;
  return part;
}

}  // namespace

Result<FileWriter> FileWriter::Open(WriteContext& context, uint64_t number) {
  ASSIGN(RawInode inode, context.volume.Inode(number));
  ASSIGN(const ObjectKind kind, KindOfInode(inode));
  if (kind != ObjectKind::kRegular) {
    return Error{Errc::kInvalidArgument, fmt::format("inode {} is not a regular file", number)};
  }
  if (inode.Has(EXT4_ENCRYPT_FL | EXT4_VERITY_FL)) {
    return Error{Errc::kUnsupported,
                 fmt::format("inode {} is encrypted or sealed with verity by the guest", number)};
  }
  return OpenInode(context, std::move(inode));
}

Result<FileWriter> FileWriter::OpenInode(WriteContext& context, RawInode inode) {
  context.volume.ForgetMaps();
  ASSIGN(FileMap map, MapInode(context.fs(), context.io(), inode));
  FileWriter writer(context, std::move(inode), std::move(map));
  if (writer.inode_.Has(EXT4_INLINE_DATA_FL)) TRY(writer.InlineToBlocks());
  return writer;
}

Result<void> FileWriter::InlineToBlocks() {
  ASSIGN(const std::string content, ReadInline(context_->fs(), context_->io(), inode_));
  TRY(RemoveInlineTail(*context_, inode_));
  InitMap(context_->fs(), inode_);
  TRY(SetSize(0));
  map_changed_ = true;
  return Write(0, AsBytes(content));
}

Result<void> FileWriter::SetSize(uint64_t size) {
  const errcode_t code =
      ext2fs_inode_size_set(context_->fs(), inode_.basic(), static_cast<ext2_off64_t>(size));
  if (code != 0)
    return Ext2Error(context_->io(), code, fmt::format("size of inode {}", inode_.number));
  return {};
}

FileExtent FileWriter::InOwnCluster(const std::vector<FileExtent>& before, ByteRange hole) const {
  const uint64_t ratio = context_->allocator.cluster_blocks();
  if (ratio == 1) return {};
  const uint64_t cluster_end = AlignDown(hole.offset, ratio) + ratio;
  const auto in_cluster = [&](const FileExtent& extent) {
    return extent.logical < cluster_end && extent.end() > cluster_end - ratio;
  };
  // The neighbour may be in what is built so far or still ahead in the old map.
  const FileExtent* neighbour = nullptr;
  if (!before.empty() && in_cluster(before.back())) neighbour = &before.back();
  const auto ahead = std::ranges::find_if(map_.extents, in_cluster);
  if (neighbour == nullptr && ahead != map_.extents.end()) neighbour = &*ahead;
  if (neighbour == nullptr) return {};
  FileExtent extent;
  extent.logical = hole.offset;
  extent.physical = neighbour->physical + hole.offset - neighbour->logical;
  extent.length = std::min(hole.end(), cluster_end) - hole.offset;
  return extent;
}

uint64_t FileWriter::NextMappedCluster(uint64_t logical) const {
  const auto next = std::ranges::partition_point(
      map_.extents, [&](const FileExtent& extent) { return extent.logical < logical; });
  if (next == map_.extents.end()) return UINT64_MAX;
  return AlignDown(next->logical, context_->allocator.cluster_blocks());
}

Result<void> FileWriter::FillHole(std::vector<FileExtent>& extents, ByteRange hole,
                                  ByteRange data_range) {
  const uint64_t ratio = context_->allocator.cluster_blocks();
  while (!hole.empty()) {
    FileExtent extent = InOwnCluster(extents, hole);
    if (extent.length == 0) {
      const uint64_t skip = hole.offset % ratio;
      const uint64_t wanted = std::min(hole.end(), NextMappedCluster(hole.offset)) - hole.offset;
      ASSIGN(const BlockRun run, context_->allocator.Take(skip + wanted));
      TRY(AddToBlockCount(context_->fs(), inode_, run.length / ratio));
      extent = {hole.offset, run.start + skip, std::min(run.length - skip, wanted), false};
    }
    TRY(ZeroUncovered(extent, data_range));
    AppendExtent(extents, extent);
    hole = RangeBetween(extent.end(), hole.end());
  }
  return {};
}

Result<void> FileWriter::ZeroUncovered(const FileExtent& extent, ByteRange data_range) {
  const auto zero = [&](uint64_t begin, uint64_t end) -> Result<void> {
    if (begin >= end) return {};
    const uint64_t block = extent.physical + (begin - extent.logical);
    const errcode_t code = io_channel_zeroout(context_->fs()->io, block, end - begin);
    if (code != 0) return Ext2Error(context_->io(), code, fmt::format("zeroing block {}", block));
    return {};
  };
  // Blocks wholly inside the data are written anyway.
  const uint64_t covered_first = DivideRoundUp(data_range.offset, block_bytes());
  const uint64_t covered_end = data_range.end() / block_bytes();
  if (covered_first >= covered_end) return zero(extent.logical, extent.end());
  TRY(zero(extent.logical, std::min(extent.end(), covered_first)));
  return zero(std::max(extent.logical, covered_end), extent.end());
}

// The rest of it stays unwritten: it may lie beyond the end of the file, where nothing else is
// allowed.
Result<void> FileWriter::MarkWritten(const FileExtent& unwritten, ByteRange blocks,
                                     ByteRange data_range, std::vector<FileExtent>& extents) {
  const auto part = [&](uint64_t begin, uint64_t end) {
    begin = std::max(begin, unwritten.logical);
    end = std::min(end, unwritten.end());
    FileExtent extent = unwritten;
    extent.logical = begin;
    extent.physical += begin - unwritten.logical;
    extent.length = end > begin ? end - begin : 0;
    return extent;
  };
  const auto append = [&extents](const FileExtent& extent) {
    if (extent.length != 0) AppendExtent(extents, extent);
  };
  append(part(0, blocks.offset));
  FileExtent written = part(blocks.offset, blocks.end());
  written.unwritten = false;
  TRY(ZeroUncovered(written, data_range));
  append(written);
  append(part(blocks.end(), UINT64_MAX));
  return {};
}

Result<void> FileWriter::MapBlocks(uint64_t first, uint64_t end, ByteRange data_range) {
  std::vector<FileExtent> extents;
  extents.reserve(map_.extents.size() + 1);
  uint64_t at = first;  // first block that may still need a place
  bool changed = false;
  const auto fill_until = [&](uint64_t stop) -> Result<void> {
    stop = std::min(stop, end);
    if (at >= stop) return {};
    changed = true;
    return FillHole(extents, RangeBetween(at, stop), data_range);
  };
  for (const FileExtent& old : map_.extents) {
    FileExtent extent = old;
    if (extent.end() > first && extent.logical < end) {
      TRY(fill_until(extent.logical));
      at = extent.end();
      if (extent.unwritten) {
        TRY(MarkWritten(extent, RangeBetween(first, end), data_range, extents));
        changed = true;
        continue;
      }
    } else if (extent.logical >= end) {
      TRY(fill_until(end));
      at = end;
    }
    AppendExtent(extents, extent);
  }
  TRY(fill_until(end));
  if (!changed) return {};
  map_.extents = std::move(extents);
  map_changed_ = true;
  return {};
}

Result<void> FileWriter::WriteMapped(uint64_t offset, ConstBytes data) {
  ext2_filsys fs = context_->fs();
  const uint64_t block_size = block_bytes();
  std::vector<std::byte> scratch;
  auto extent = std::ranges::partition_point(
      map_.extents, [&](const FileExtent& e) { return e.end() * block_size <= offset; });
  while (!data.empty()) {
    const uint64_t logical = offset / block_size;
    if (extent->end() <= logical) ++extent;
    const uint64_t physical = extent->physical + (logical - extent->logical);
    const uint64_t skip = offset % block_size;
    errcode_t code = 0;
    size_t done = 0;
    if (skip == 0 && data.size() >= block_size) {
      const uint64_t count =
          std::min({data.size() / block_size, extent->end() - logical, kBlocksPerWrite});
      code = io_channel_write_blk64(fs->io, physical, static_cast<int>(count), data.data());
      done = count * block_size;
    } else {
      scratch.resize(block_size);
      done = std::min<size_t>(data.size(), block_size - skip);
      code = io_channel_read_blk64(fs->io, physical, 1, scratch.data());
      std::memcpy(scratch.data() + skip, data.data(), done);
      if (code == 0) code = io_channel_write_blk64(fs->io, physical, 1, scratch.data());
    }
    if (code != 0)
      return Ext2Error(context_->io(), code, fmt::format("writing block {}", physical));
    data = data.subspan(done);
    offset += done;
  }
  return {};
}

Result<void> FileWriter::Write(uint64_t offset, ConstBytes data) {
  if (data.empty()) return {};
  if (!CheckedAdd<uint64_t>(offset, data.size()))
    return Error{Errc::kInvalidArgument, "the range wraps"};
  const ByteRange range{offset, data.size()};
  if (range.end() > size()) {
    TRY(ZeroBytes(RangeBetween(size(), AlignUp(size(), block_bytes()))));
  }
  TRY(MapBlocks(offset / block_bytes(), DivideRoundUp(range.end(), block_bytes()), range));
  TRY(WriteMapped(offset, data));
  if (range.end() > size()) return SetSize(range.end());
  return {};
}

Result<void> FileWriter::ZeroBytes(ByteRange range) {
  if (range.empty()) return {};
  const std::vector<std::byte> zeroes(std::min<uint64_t>(range.length, block_bytes()));
  for (const ByteRange& stored : StoredRangesOf(map_, block_bytes(), UINT64_MAX)) {
    ByteRange part = Intersect(stored, range);
    while (!part.empty()) {
      const uint64_t length = std::min<uint64_t>(part.length, zeroes.size());
      TRY(WriteMapped(part.offset, ConstBytes(zeroes).first(length)));
      part = RangeBetween(part.offset + length, part.end());
    }
  }
  return {};
}

void FileWriter::DropBlocks(uint64_t first, uint64_t end) {
  std::vector<FileExtent> kept;
  for (const FileExtent& extent : map_.extents) {
    if (extent.logical < first) AppendExtent(kept, PartOf(extent, 0, first));
    if (extent.end() > end) AppendExtent(kept, PartOf(extent, end, UINT64_MAX));
  }
  if (kept == map_.extents) return;
  ReleaseUnused(*context_, inode_, map_.extents, kept);
  map_.extents = std::move(kept);
  map_changed_ = true;
}

Result<void> FileWriter::Resize(uint64_t size) {
  const uint64_t smaller = std::min(size, this->size());
  TRY(ZeroBytes(RangeBetween(smaller, AlignUp(smaller, block_bytes()))));
  if (size < this->size()) DropBlocks(DivideRoundUp(size, block_bytes()), UINT64_MAX);
  return SetSize(size);
}

Result<void> FileWriter::Punch(ByteRange range) {
  const uint64_t first = DivideRoundUp(range.offset, block_bytes());
  const uint64_t end = range.end() / block_bytes();
  if (first >= end) return ZeroBytes(range);
  TRY(ZeroBytes(RangeBetween(range.offset, first * block_bytes())));
  TRY(ZeroBytes(RangeBetween(end * block_bytes(), range.end())));
  DropBlocks(first, end);
  return {};
}

Result<void> FileWriter::Finish() {
  if (map_changed_) {
    TRY(StoreMap(*context_, inode_, map_.metadata_blocks, map_.extents));
    map_changed_ = false;
  }
  context_->volume.ForgetMaps();
  return WriteInode(context_->fs(), context_->io(), inode_);
}

Result<void> FreeContent(WriteContext& context, RawInode& inode) {
  context.volume.ForgetMaps();
  if (!HasBlockMap(inode)) return {};
  ASSIGN(const FileMap map, MapInode(context.fs(), context.io(), inode));
  ReleaseUnused(context, inode, map.extents, {});
  return StoreMap(context, inode, map.metadata_blocks, {});
}

}  // namespace mica::guest
