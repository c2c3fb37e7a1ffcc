// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/directory.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/ext4/content.h"
#include "tools/guest/ext4/directory_block.h"

namespace mica::guest {

namespace {

constexpr size_t kHeaderBytes = 8;        // inode, record length, name length, file type
constexpr size_t kInlineDotDotBytes = 4;  // an inline directory starts with its parent's number

Error Corrupt(const RawInode& directory, std::string_view what) {
  return Error{Errc::kCorrupt, fmt::format("directory inode {}: {}", directory.number, what)};
}

enum class DotEntries : uint8_t { kSkip, kShow };

struct Walk {
  ext2_filsys fs;
  const RawInode& directory;
  const EntryVisitor& visitor;
  DotEntries dots = DotEntries::kSkip;

  Result<Visit> Run(ConstBytes area) const {
    while (area.size() >= kHeaderBytes) {
      const size_t record = RecordBytesOf(LoadLe<uint16_t>(area, 4), fs->blocksize);
      const auto name_bytes = std::to_integer<size_t>(area[6]);
      if (record < kHeaderBytes || record % 4 != 0 || record > area.size()) {
        return Corrupt(directory, "an entry leaves its block");
      }
      const auto inode = LoadLe<uint32_t>(area, 0);
      if (inode != 0) {
        if (kHeaderBytes + name_bytes > record)
          return Corrupt(directory, "a name leaves its entry");
        const std::string_view name = AsText(area.subspan(kHeaderBytes, name_bytes));
        ASSIGN(const Visit next, Show({name, inode, FileType(area[7])}));
        if (next == Visit::kStop) return next;
      }
      area = area.subspan(record);
    }
    return Visit::kContinue;
  }

 private:
  [[nodiscard]] uint8_t FileType(std::byte stored) const {
    return ext2fs_has_feature_filetype(fs->super) ? std::to_integer<uint8_t>(stored & std::byte{7})
                                                  : 0;
  }

  [[nodiscard]] Result<Visit> Show(const RawDirectoryEntry& entry) const {
    if (entry.name == "." || entry.name == "..") {
      return dots == DotEntries::kShow ? visitor(entry) : Visit::kContinue;
    }
    const bool hostile = entry.name.empty() || entry.name.find('\0') != std::string_view::npos ||
                         entry.name.find('/') != std::string_view::npos;
    // Encrypted names are any bytes; they are never used as paths.
    if (hostile && !directory.Has(EXT4_ENCRYPT_FL)) {
      return Corrupt(directory, "a name is empty or holds a slash or a zero byte");
    }
    if (entry.inode > fs->super->s_inodes_count) {
      return Corrupt(directory,
                     fmt::format("an entry names inode {}, which does not exist", entry.inode));
    }
    return visitor(entry);
  }
};

Result<Visit> RunOnBlock(IoManager& io, const Walk& walk, uint64_t physical) {
  std::vector<std::byte> block(walk.fs->blocksize);
  const errcode_t code =
      ext2fs_read_dir_block4(walk.fs, physical, block.data(), 0, walk.directory.number);
  if (code != 0) {
    return Ext2Error(
        io, code, fmt::format("block {} of directory inode {}", physical, walk.directory.number));
  }
  return walk.Run(block);
}

Result<void> RunOnInline(IoManager& io, const Walk& walk) {
  ASSIGN(const std::string content, ReadInline(walk.fs, io, walk.directory));
  const ConstBytes bytes = AsBytes(content);
  const size_t first_end = std::min(bytes.size(), sizeof walk.directory.large().i_block);
  if (first_end < kInlineDotDotBytes)
    return Corrupt(walk.directory, "its inline data is too short");
  const ConstBytes first = bytes.subspan(kInlineDotDotBytes, first_end - kInlineDotDotBytes);
  ASSIGN(const Visit next, walk.Run(first));
  if (next == Visit::kStop) return {};
  ASSIGN([[maybe_unused]] const Visit last, walk.Run(bytes.subspan(first_end)));
  return {};
}

Result<void> CheckIsDirectory(const RawInode& inode) {
  if ((inode.large().i_mode & LINUX_S_IFMT) == LINUX_S_IFDIR) return {};
  return Error{Errc::kInvalidArgument, fmt::format("inode {} is not a directory", inode.number)};
}

Result<void> RunOnMapped(IoManager& io, const Walk& walk) {
  ASSIGN(const FileMap map, MapInode(walk.fs, io, walk.directory));
  const uint64_t blocks = DivideRoundUp(walk.directory.size(), walk.fs->blocksize);
  for (const FileExtent& extent : map.extents) {
    if (extent.unwritten) return Corrupt(walk.directory, "it has unwritten blocks");
    const uint64_t end = std::min(extent.end(), blocks);
    for (uint64_t logical = extent.logical; logical < end; ++logical) {
      ASSIGN(const Visit next, RunOnBlock(io, walk, extent.physical + (logical - extent.logical)));
      if (next == Visit::kStop) return {};
    }
  }
  return {};
}

}  // namespace

Result<void> VisitDirectory(ext2_filsys fs, IoManager& io, const RawInode& directory,
                            const EntryVisitor& visitor) {
  TRY(CheckIsDirectory(directory));
  const Walk walk{fs, directory, visitor};
  return directory.Has(EXT4_INLINE_DATA_FL) ? RunOnInline(io, walk) : RunOnMapped(io, walk);
}

Result<Visit> VisitDirectoryBlock(ext2_filsys fs, IoManager& io, const RawInode& directory,
                                  uint64_t physical, const EntryVisitor& visitor) {
  const Walk walk{fs, directory, visitor};
  return RunOnBlock(io, walk, physical);
}

Result<uint32_t> ReadParent(ext2_filsys fs, IoManager& io, const RawInode& directory) {
  TRY(CheckIsDirectory(directory));
  if (directory.Has(EXT4_INLINE_DATA_FL)) return LoadLe<uint32_t>(directory.block_area(), 0);
  uint32_t parent = 0;
  const EntryVisitor visitor = [&parent](const RawDirectoryEntry& entry) {
    if (entry.name != "..") return Visit::kContinue;
    parent = entry.inode;
    return Visit::kStop;
  };
  const Walk walk{fs, directory, visitor, DotEntries::kShow};
  ASSIGN(const FileMap map, MapInode(fs, io, directory));
  if (map.extents.empty() || map.extents.front().logical != 0) {
    return Corrupt(directory, "its first block is missing");
  }
  ASSIGN([[maybe_unused]] const Visit visit, RunOnBlock(io, walk, map.extents.front().physical));
  if (parent == 0) return Corrupt(directory, "it has no \"..\"");
  return parent;
}

}  // namespace mica::guest
