// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/xattr_writer.h"

#include <fmt/format.h>

#include <memory>

#include "tools/guest/ext4/acl.h"
#include "tools/guest/ext4/xattr_reader.h"
#include "tools/guest/ext4/xattr_room.h"

namespace mica::guest {

namespace {

constexpr size_t kBlockHeaderBytes = 32;
constexpr size_t kBlockReferencesOffset = 4;

struct CloseHandle {
  void operator()(ext2_xattr_handle* handle) const noexcept { ext2fs_xattrs_close(&handle); }
};

// The library's attribute list of one inode; every change is written at once.
class XattrList {
 public:
  static Result<XattrList> Open(WriteContext& context, ext2_ino_t inode) {
    XattrList list(context, inode);
    ext2_xattr_handle* opened = nullptr;
    errcode_t code = ext2fs_xattrs_open(context.fs(), inode, &opened);
    if (code != 0) return list.Failed(code);
    list.handle_.reset(opened);
    unsigned int flags = XATTR_HANDLE_FLAG_RAW;  // access control lists are converted here
    ext2fs_xattrs_flags(opened, &flags, nullptr);
    code = ext2fs_xattrs_read(opened);
    if (code != 0) return list.Failed(code);
    return list;
  }

  Result<void> Set(const std::string& name, const std::string& value) {
    const errcode_t code =
        ext2fs_xattr_set(handle_.get(), name.c_str(), value.data(), value.size());
    if (code != 0) return Failed(code);
    return {};
  }

  Result<void> Remove(const std::string& name) {
    const errcode_t code = ext2fs_xattr_remove(handle_.get(), name.c_str());
    if (code != 0) return Failed(code);
    return {};
  }

 private:
  XattrList(WriteContext& context, ext2_ino_t inode) : context_(&context), inode_(inode) {}

  Error Failed(errcode_t code) {
    if (code == EXT2_ET_MISSING_EA_FEATURE) {
      return Error{Errc::kUnsupported, "the file system has no extended attributes"};
    }
    return Ext2Error(context_->io(), code, fmt::format("extended attributes of inode {}", inode_));
  }

  WriteContext* context_;
  ext2_ino_t inode_;
  std::unique_ptr<ext2_xattr_handle, CloseHandle> handle_;
};

// Clusters that values in inodes of their own add to i_blocks of the file.
Result<uint64_t> ValueClusters(WriteContext& context, const RawInode& inode) {
  ASSIGN(const std::vector<RawXattr> xattrs, ReadRawXattrs(context.fs(), context.io(), inode));
  const uint64_t cluster_bytes = context.fs()->blocksize * context.allocator.cluster_blocks();
  uint64_t clusters = 0;
  for (const RawXattr& xattr : xattrs) {
    if (xattr.value_inode != 0) clusters += DivideRoundUp(xattr.value.size(), cluster_bytes);
  }
  return clusters;
}

// The library keeps an attribute block that has become empty.
Result<bool> FreeEmptyBlock(WriteContext& context, RawInode& inode) {
  const blk64_t block = ext2fs_file_acl_block(context.fs(), inode.basic());
  if (block == 0) return false;
  std::vector<std::byte> buffer(context.fs()->blocksize);
  errcode_t code = ext2fs_read_ext_attr3(context.fs(), block, buffer.data(), inode.number);
  if (code == 0) {
    if (LoadLe<uint32_t>(buffer, kBlockHeaderBytes) != 0) return false;
    code = ext2fs_free_ext_attr(context.fs(), inode.number, &inode.large());
  }
  if (code == 0) return true;
  return Ext2Error(context.io(), code, fmt::format("attribute block of inode {}", inode.number));
}

Result<void> TidyUp(WriteContext& context, uint64_t number, uint64_t clusters_before) {
  ASSIGN(RawInode inode, context.volume.Inode(number));
  ASSIGN(const uint64_t clusters, ValueClusters(context, inode));
  ASSIGN(const bool freed, FreeEmptyBlock(context, inode));
  if (clusters == clusters_before && !freed) return {};
  RemoveFromBlockCount(context.fs(), inode, clusters_before);
  TRY(AddToBlockCount(context.fs(), inode, clusters));
  return WriteInode(context.fs(), context.io(), inode);
}

// The library copies an attribute block that several inodes share before it changes it, but does
// not count the new references to the value inodes that both copies name then.
Result<void> CountSharedValues(WriteContext& context, const RawInode& inode) {
  const blk64_t block = ext2fs_file_acl_block(context.fs(), inode.basic());
  if (block == 0) return {};
  std::vector<std::byte> buffer(context.fs()->blocksize);
  const errcode_t code = ext2fs_read_ext_attr3(context.fs(), block, buffer.data(), inode.number);
  if (code != 0) {
    return Ext2Error(context.io(), code, fmt::format("attribute block of inode {}", inode.number));
  }
  if (LoadLe<uint32_t>(buffer, kBlockReferencesOffset) < 2) return {};
  ASSIGN(const std::vector<RawXattr> xattrs, ReadRawXattrs(context.fs(), context.io(), inode));
  for (const RawXattr& xattr : xattrs) {
    if (!xattr.in_block || xattr.value_inode == 0) continue;
    ASSIGN(RawInode value, context.volume.Inode(xattr.value_inode));
    const uint64_t references = ext2fs_get_ea_inode_ref(value.basic());
    ext2fs_set_ea_inode_ref(value.basic(), references + 1);
    TRY(WriteInode(context.fs(), context.io(), value));
  }
  return {};
}

// Beside what is not to be replaced.
Result<XattrRoom> FreeRoom(WriteContext& context, const RawInode& inode) {
  size_t extra_bytes = inode.large().i_extra_isize;
  // As the library does where the field is not in use yet.
  if (extra_bytes == 0) extra_bytes = context.fs()->super->s_want_extra_isize;
  if (extra_bytes == 0) extra_bytes = sizeof(uint32_t);
  XattrRoom room = RoomForXattrs(context.fs(), extra_bytes);
  ASSIGN(const std::vector<RawXattr> raw, ReadRawXattrs(context.fs(), context.io(), inode));
  for (const RawXattr& xattr : raw) {
    if (!FullName(xattr).empty()) continue;
    TakeRoom(xattr.in_block ? room.block_bytes : room.inode_bytes, xattr.leaf.size(),
             xattr.value_inode == 0 ? xattr.value.size() : 0);
  }
  return room;
}

// All anew: only then what fits is known to find a place.
Result<void> Replace(XattrList& list, const Xattrs& present, const Xattrs& wanted,
                     const std::vector<std::string>& order) {
  for (const auto& [name, value] : present) TRY(list.Remove(name));
  for (const std::string& name : order) {
    const std::string& value = wanted.at(name);
    if (!IsAclName(name)) {
      TRY(list.Set(name, value));
      continue;
    }
    ASSIGN(const std::string disk, AclToDisk(value));
    TRY(list.Set(name, disk));
  }
  return {};
}

}  // namespace

Result<bool> HasRoomForXattrs(WriteContext& context, const RawInode& inode, const Xattrs& xattrs) {
  ASSIGN(const XattrRoom room, FreeRoom(context, inode));
  return ArrangeXattrs(room, xattrs).has_value();
}

Result<void> SetXattrs(WriteContext& context, uint64_t number, const Xattrs& xattrs) {
  ASSIGN(const RawInode inode, context.volume.Inode(number));
  ASSIGN(const Xattrs present, ReadXattrs(context.fs(), context.io(), inode));
  if (present == xattrs) return {};
  TRY(CheckXattrNames(xattrs));
  ASSIGN(const XattrRoom room, FreeRoom(context, inode));
  const auto order = ArrangeXattrs(room, xattrs);
  if (!order) {
    return Error{Errc::kNoSpace,
                 fmt::format("the extended attributes of inode {} do not fit into it", number)};
  }
  ASSIGN(const uint64_t clusters_before, ValueClusters(context, inode));
  TRY(CountSharedValues(context, inode));
  {
    ASSIGN(XattrList list, XattrList::Open(context, inode.number));
    TRY(Replace(list, present, xattrs, *order));
  }
  context.volume.ForgetMaps();
  return TidyUp(context, number, clusters_before);
}

Result<void> FreeXattrs(WriteContext& context, RawInode& inode) {
  ASSIGN(const std::vector<RawXattr> raw, ReadRawXattrs(context.fs(), context.io(), inode));
  const bool has_value_inodes =
      std::ranges::any_of(raw, [](const RawXattr& xattr) { return xattr.value_inode != 0; });
  if (has_value_inodes) {
    // ext2fs_free_ext_attr would leave the value inodes behind (ext2fs_xattr_remove_all came
    // in 1.47.3).
    TRY(WriteInode(context.fs(), context.io(), inode));
    TRY(SetXattrs(context, inode.number, {}));
    ASSIGN(inode, context.volume.Inode(inode.number));
  }
  const errcode_t code = ext2fs_free_ext_attr(context.fs(), inode.number, &inode.large());
  if (code == 0) return {};
  return Ext2Error(context.io(), code,
                   fmt::format("freeing the attributes of inode {}", inode.number));
}

Result<void> RemoveInlineTail(WriteContext& context, RawInode& inode) {
  TRY(CountSharedValues(context, inode));
  {
    ASSIGN(XattrList list, XattrList::Open(context, inode.number));
    TRY(list.Remove("system.data"));
  }
  ASSIGN(inode, context.volume.Inode(inode.number));
  return {};
}

}  // namespace mica::guest
