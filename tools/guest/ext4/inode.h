// SPDX-License-Identifier: Apache-2.0
// One on-disk inode of ext2/3/4, decoded. Layout: Documentation/filesystems/ext4/inodes.rst in
// Linux.
#pragma once

#include <ext2fs/ext2fs.h>

#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/result.h"
#include "tools/guest/ext4/io_manager.h"
#include "tools/guest/object.h"

namespace mica::guest {

// The flags that chattr(1) may set and that are worth carrying: no layout flags (extents, index,
// inline data) and none that change how content is stored (encrypted, verity, casefold).
inline constexpr uint32_t kUserFlags =
    EXT2_SECRM_FL | EXT2_UNRM_FL | EXT2_COMPR_FL | EXT2_SYNC_FL | EXT2_IMMUTABLE_FL |
    EXT2_APPEND_FL | EXT2_NODUMP_FL | EXT2_NOATIME_FL | EXT3_JOURNAL_DATA_FL | EXT2_NOTAIL_FL |
    EXT2_DIRSYNC_FL | EXT2_TOPDIR_FL | FS_DAX_FL | EXT4_PROJINHERIT_FL;

// An inode number together with its bytes (at least sizeof(ext2_inode_large), zero-extended).
struct RawInode {
  ext2_ino_t number = 0;
  std::vector<std::byte> bytes;
  size_t disk_bytes = 0;  // the inode size of the file system; what is stored of `bytes`

  [[nodiscard]] ext2_inode_large& large() noexcept {
    return *reinterpret_cast<ext2_inode_large*>(bytes.data());
  }
  [[nodiscard]] const ext2_inode_large& large() const noexcept {
    return *reinterpret_cast<const ext2_inode_large*>(bytes.data());
  }
  [[nodiscard]] ext2_inode* basic() noexcept { return reinterpret_cast<ext2_inode*>(bytes.data()); }
  [[nodiscard]] const ext2_inode* basic() const noexcept {
    return reinterpret_cast<const ext2_inode*>(bytes.data());
  }
  [[nodiscard]] bool Has(uint32_t flag) const noexcept { return (large().i_flags & flag) != 0; }
  [[nodiscard]] uint64_t size() const noexcept {
    return large().i_size | (uint64_t{large().i_size_high} << 32);
  }
  // The 60 bytes of i_block.
  [[nodiscard]] ConstBytes block_area() const noexcept {
    return std::as_bytes(std::span(large().i_block));
  }
  [[nodiscard]] Bytes block_area() noexcept {
    return std::as_writable_bytes(std::span(large().i_block));
  }
  // True when the extra fields reach to `end`, an offset into the inode.
  [[nodiscard]] bool Reaches(size_t end) const noexcept {
    return disk_bytes > EXT2_GOOD_OLD_INODE_SIZE &&
           EXT2_GOOD_OLD_INODE_SIZE + size_t{large().i_extra_isize} >= end && end <= disk_bytes;
  }
};

// kCorrupt for a number out of range or a wrong checksum. The inode may be a free one.
Result<RawInode> ReadInode(ext2_filsys fs, IoManager& io, uint64_t number);
Result<void> WriteInode(ext2_filsys fs, IoManager& io, RawInode& inode);

// The kind in i_mode; kCorrupt when it names none.
Result<ObjectKind> KindOfInode(const RawInode& inode);
// S_IF… bits of a kind, and the file type of a directory entry.
uint16_t ModeBitsOf(ObjectKind kind) noexcept;
uint8_t FileTypeOf(ObjectKind kind) noexcept;

// Everything that stands in the inode itself: not xattrs, not the target of a symlink.
Result<Object> DecodeInode(ext2_filsys fs, const RawInode& inode);

// A seconds field and its extra field (two epoch bits, 30 bits of nanoseconds) and back. Times
// before 1901 or after 2446 cannot be stored: they are clamped.
Timestamp DecodeTime(uint32_t seconds, uint32_t extra) noexcept;
struct EncodedTime {
  uint32_t seconds = 0;
  uint32_t extra = 0;
};
EncodedTime EncodeTime(Timestamp time) noexcept;

// Fields of `attributes` that stand in the inode: mode, owner, mtime, flags, project. atime, ctime
// and crtime stay. kUnsupported when the inode has no room for a project id that is not 0.
Result<void> EncodeAttributes(ext2_filsys fs, const Attributes& attributes, RawInode& inode);
void EncodeDevice(uint32_t major, uint32_t minor, RawInode& inode);

}  // namespace mica::guest
