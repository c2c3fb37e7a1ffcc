// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/directory_lookup.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/ext4/directory.h"
#include "tools/guest/ext4/hashed_directory.h"

namespace mica::guest {

namespace {

Result<std::optional<FoundEntry>> FindLinear(ext2_filsys fs, IoManager& io,
                                             const RawInode& directory, std::string_view leaf) {
  ASSIGN(const FileMap map, MapInode(fs, io, directory));
  const uint64_t blocks = DivideRoundUp(directory.size(), fs->blocksize);
  for (const FileExtent& extent : map.extents) {
    const uint64_t end = std::min(extent.end(), blocks);
    for (uint64_t at = extent.logical; at < end; ++at) {
      const uint64_t physical = extent.physical + (at - extent.logical);
      ASSIGN(auto found, FindInBlockAt(fs, io, directory, physical, leaf));
      if (found) return found;
    }
  }
  return std::optional<FoundEntry>();
}

}  // namespace

Result<std::optional<FoundEntry>> FindInBlockAt(ext2_filsys fs, IoManager& io,
                                                const RawInode& directory, uint64_t physical,
                                                std::string_view leaf) {
  FoundEntry found;
  found.physical = physical;
  found.block.resize(fs->blocksize);
  const errcode_t code =
      ext2fs_read_dir_block4(fs, physical, found.block.data(), 0, directory.number);
  if (code != 0) return Ext2Error(io, code, fmt::format("directory inode {}", directory.number));
  if (!IsWellFormedBlock(found.block)) {
    return Error{Errc::kCorrupt,
                 fmt::format("directory inode {}: an entry leaves its block", directory.number)};
  }
  const std::optional<EntryPlace> place = FindInBlock(found.block, leaf);
  if (!place) return std::optional<FoundEntry>();
  found.place = *place;
  found.inode = place->inode;
  return std::optional<FoundEntry>(std::move(found));
}

Result<std::optional<FoundEntry>> FindMapped(ext2_filsys fs, IoManager& io,
                                             const RawInode& directory, std::string_view leaf) {
  if (HasUsableIndex(fs, directory)) {
    // A damaged index is no reason to miss the name: the linear search decides then.
    if (const auto leaves = FindLeaves(fs, io, directory, leaf)) {
      for (const uint64_t physical : *leaves) {
        ASSIGN(auto found, FindInBlockAt(fs, io, directory, physical, leaf));
        if (found) return found;
      }
      return std::optional<FoundEntry>();
    }
  }
  return FindLinear(fs, io, directory, leaf);
}

Result<std::optional<uint32_t>> FindEntry(ext2_filsys fs, IoManager& io, const RawInode& directory,
                                          std::string_view leaf) {
  if ((directory.large().i_mode & LINUX_S_IFMT) != LINUX_S_IFDIR) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("inode {} is not a directory", directory.number)};
  }
  std::optional<uint32_t> inode;
  if (directory.Has(EXT4_INLINE_DATA_FL)) {
    TRY(VisitDirectory(fs, io, directory, [&](const RawDirectoryEntry& entry) {
      if (entry.name != leaf) return Visit::kContinue;
      inode = entry.inode;
      return Visit::kStop;
    }));
    return inode;
  }
  ASSIGN(const auto found, FindMapped(fs, io, directory, leaf));
  if (found) inode = found->inode;
  return inode;
}

}  // namespace mica::guest
