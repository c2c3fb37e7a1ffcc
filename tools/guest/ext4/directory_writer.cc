// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/directory_writer.h"

#include <fmt/format.h>

#include <functional>
#include <string>
#include <vector>

#include "tools/guest/ext4/directory.h"
#include "tools/guest/ext4/directory_builder.h"
#include "tools/guest/ext4/directory_lookup.h"

namespace mica::guest {

namespace {

constexpr size_t kNameBytesMax = 255;

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

using EntryEdit = std::function<void(std::vector<BuiltEntry>&)>;

// Reads all entries of a directory, has them changed, and builds it anew. For linear directories
// that have no room left; and for inline ones always: they become ones with a block, which spares
// the library's changes to inline data.
Result<void> Rebuild(WriteContext& context, uint64_t number, const EntryEdit& edit) {
  ASSIGN(RawInode directory, OpenDirectory(context, number));
  std::vector<BuiltEntry> entries;
  TRY(VisitDirectory(context.fs(), context.io(), directory, [&](const RawDirectoryEntry& entry) {
    entries.push_back({std::string(entry.name), entry.inode, entry.file_type});
    return Visit::kContinue;
  }));
  edit(entries);
  ASSIGN(const uint32_t parent, ReadParent(context.fs(), context.io(), directory));
  return BuildDirectory(context, directory, parent, entries);
}

}  // namespace

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
  const EntryEdit add = [&](std::vector<BuiltEntry>& entries) {
    entries.push_back({leaf, entry.inode, file_type});
  };
  if (inode.Has(EXT4_INLINE_DATA_FL)) return Rebuild(context, directory, add);
  const errcode_t code =
      ext2fs_link(context.fs(), inode.number, leaf.c_str(), entry.inode, file_type);
  if (code == 0) return {};
  if (code == EXT2_ET_DIR_NO_SPACE) return Rebuild(context, directory, add);
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
    TRY(Rebuild(context, directory, [&](std::vector<BuiltEntry>& entries) {
      std::erase_if(entries, [&](const BuiltEntry& entry) { return entry.name == leaf; });
    }));
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

Result<void> MoveEntriesToBlock(WriteContext& context, uint64_t directory) {
  return Rebuild(context, directory, [](std::vector<BuiltEntry>&) {});
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
