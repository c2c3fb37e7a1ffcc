// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/directory_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/ext4/directory.h"
#include "tools/guest/ext4/directory_block.h"
#include "tools/guest/ext4/directory_builder.h"
#include "tools/guest/ext4/hashed_directory.h"

namespace mica::guest {

namespace {

constexpr size_t kNameBytesMax = 255;

// An entry, and the block it was found in (0 for inline directories).
struct FoundEntry {
  uint32_t inode = 0;
  uint64_t physical = 0;
  EntryPlace place;
  std::vector<std::byte> block;
};

Result<std::optional<FoundEntry>> FindInBlockAt(ext2_filsys fs, IoManager& io,
                                                const RawInode& directory, uint64_t physical,
                                                std::string_view leaf) {
  FoundEntry found;
  found.physical = physical;
  found.block.resize(fs->blocksize);
  const errcode_t code =
      ext2fs_read_dir_block4(fs, physical, found.block.data(), 0, directory.number);
  if (code != 0) return Ext2Error(io, code, fmt::format("directory inode {}", directory.number));
  const std::optional<EntryPlace> place = FindInBlock(found.block, leaf);
  if (!place) return std::optional<FoundEntry>();
  found.place = *place;
  found.inode = place->inode;
  return std::optional<FoundEntry>(std::move(found));
}

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

Result<RawInode> OpenDirectory(WriteContext& context, uint64_t number) {
  ASSIGN(RawInode inode, context.volume.Inode(number));
  if ((inode.large().i_mode & LINUX_S_IFMT) != LINUX_S_IFDIR || inode.large().i_links_count == 0) {
    return Error{Errc::kInvalidArgument, fmt::format("inode {} is not a directory", number)};
  }
  if (inode.Has(EXT4_ENCRYPT_FL | EXT4_CASEFOLD_FL)) {
    return Error{Errc::kUnsupported,
                 fmt::format("directory inode {} is encrypted or ignores case", number)};
  }
  return inode;
}

Result<void> CheckLeaf(std::string_view leaf) {
  const bool usable = !leaf.empty() && leaf.size() <= kNameBytesMax && leaf != "." &&
                      leaf != ".." && leaf.find('/') == std::string_view::npos &&
                      leaf.find('\0') == std::string_view::npos;
  if (usable) return {};
  return Error{Errc::kInvalidArgument, fmt::format("\"{}\" cannot be a file name", leaf)};
}

// Reads all entries of a directory that has no room left, and builds it anew with room.
Result<void> Rebuild(WriteContext& context, uint64_t number, const BuiltEntry& added) {
  ASSIGN(RawInode directory, OpenDirectory(context, number));
  std::vector<BuiltEntry> entries;
  TRY(VisitDirectory(context.fs(), context.io(), directory, [&](const RawDirectoryEntry& entry) {
    entries.push_back({std::string(entry.name), entry.inode, entry.file_type});
    return Visit::kContinue;
  }));
  entries.push_back(added);
  ASSIGN(const uint32_t parent, ReadParent(context.fs(), context.io(), directory));
  return BuildDirectory(context, directory, parent, std::move(entries));
}

}  // namespace

Result<std::optional<uint32_t>> FindEntry(ext2_filsys fs, IoManager& io, const RawInode& directory,
                                          std::string_view leaf) {
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

Result<void> AddEntry(WriteContext& context, uint64_t directory, const NewEntry& entry) {
  TRY(CheckLeaf(entry.leaf));
  ASSIGN(const RawInode inode, OpenDirectory(context, directory));
  ASSIGN(const auto present, FindEntry(context.fs(), context.io(), inode, entry.leaf));
  if (present) {
    return Error{Errc::kExists,
                 fmt::format("directory inode {} has \"{}\" already", directory, entry.leaf)};
  }
  const std::string leaf(entry.leaf);
  const uint8_t file_type = FileTypeOf(entry.kind);
  const errcode_t code =
      ext2fs_link(context.fs(), inode.number, leaf.c_str(), entry.inode, file_type);
  if (code == 0) return {};
  if (code == EXT2_ET_DIR_NO_SPACE)
    return Rebuild(context, directory, {leaf, entry.inode, file_type});
  return Ext2Error(context.io(), code,
                   fmt::format("adding \"{}\" to directory inode {}", leaf, directory));
}

Result<uint32_t> RemoveEntry(WriteContext& context, uint64_t directory, std::string_view leaf) {
  TRY(CheckLeaf(leaf));
  ASSIGN(const RawInode inode, OpenDirectory(context, directory));
  const auto action = [&] {
    return fmt::format("removing \"{}\" from directory inode {}", leaf, directory);
  };
  if (inode.Has(EXT4_INLINE_DATA_FL)) {
    ASSIGN(const auto present, FindEntry(context.fs(), context.io(), inode, leaf));
    if (!present) return Error{Errc::kNotFound, action()};
    const errcode_t code =
        ext2fs_unlink(context.fs(), inode.number, std::string(leaf).c_str(), *present, 0);
    if (code != 0) return Ext2Error(context.io(), code, action());
    return *present;
  }
  ASSIGN(auto found, FindMapped(context.fs(), context.io(), inode, leaf));
  if (!found) return Error{Errc::kNotFound, action()};
  RemoveFromBlock(found->block, found->place);
  const errcode_t code =
      ext2fs_write_dir_block4(context.fs(), found->physical, found->block.data(), 0, inode.number);
  if (code != 0) return Ext2Error(context.io(), code, action());
  return found->inode;
}

Result<void> SetParent(WriteContext& context, uint64_t directory, uint32_t parent) {
  ASSIGN(RawInode inode, OpenDirectory(context, directory));
  if (inode.Has(EXT4_INLINE_DATA_FL)) {
    // An inline directory has no ".." entry: its data starts with the number of its parent.
    StoreLe(inode.block_area(), 0, parent);
    return WriteInode(context.fs(), context.io(), inode);
  }
  ASSIGN(const FileMap map, MapInode(context.fs(), context.io(), inode));
  if (map.extents.empty() || map.extents.front().logical != 0) {
    return Error{Errc::kCorrupt, fmt::format("directory inode {} has no first block", directory)};
  }
  const uint64_t physical = map.extents.front().physical;
  ASSIGN(auto found, FindInBlockAt(context.fs(), context.io(), inode, physical, ".."));
  if (!found)
    return Error{Errc::kCorrupt, fmt::format("directory inode {} has no \"..\"", directory)};
  StoreLe(Bytes(found->block), found->place.offset, parent);
  const errcode_t code =
      ext2fs_write_dir_block4(context.fs(), physical, found->block.data(), 0, inode.number);
  if (code == 0) return {};
  return Ext2Error(context.io(), code, fmt::format("moving directory inode {}", directory));
}

}  // namespace mica::guest
