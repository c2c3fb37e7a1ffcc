// SPDX-License-Identifier: Apache-2.0
// Ext4Blocks: bounded reads of file system blocks, and where the inode tables are. The raw side of
// the index and the diff; what objects mean is Volume's business.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/result.h"
#include "tools/guest/ext4/inode.h"
#include "tools/guest/ext4/io_manager.h"

namespace mica::guest {

// A run of file system blocks [first, first + count).
struct BlockSpan {
  uint64_t first = 0;
  uint64_t count = 0;

  [[nodiscard]] constexpr uint64_t end() const noexcept { return first + count; }
  friend constexpr bool operator==(const BlockSpan&, const BlockSpan&) = default;
};

// The inode table of one block group.
struct InodeTable {
  uint64_t first_block = 0;
  uint32_t first_inode = 1;
  // Inodes that may be in use: beyond them the table is whatever was on the disk (itable_unused,
  // uninitialised groups).
  uint32_t inodes_live = 0;
};

// Borrows `fs` and `io`, which outlive it. Not thread-safe, as `fs` is not. All numbers come from
// the guest: ranges are checked against the volume, kCorrupt when they do not fit.
class Ext4Blocks {
 public:
  // kCorrupt or kUnsupported when the geometry makes no sense or needs something we do not read.
  static Result<Ext4Blocks> Open(ext2_filsys fs, IoManager& io);

  [[nodiscard]] uint32_t block_bytes() const noexcept { return block_bytes_; }
  [[nodiscard]] uint64_t block_count() const noexcept { return block_count_; }
  [[nodiscard]] uint32_t inode_bytes() const noexcept { return inode_bytes_; }
  [[nodiscard]] uint32_t inodes_per_group() const noexcept { return inodes_per_group_; }
  [[nodiscard]] uint32_t inode_count() const noexcept { return fs_->super->s_inodes_count; }
  [[nodiscard]] const std::vector<InodeTable>& tables() const noexcept { return tables_; }
  [[nodiscard]] ext2_filsys fs() const noexcept { return fs_; }
  [[nodiscard]] IoManager& io() const noexcept { return *io_; }

  [[nodiscard]] bool Contains(BlockSpan run) const noexcept {
    return run.first != 0 && run.first < block_count_ && run.count <= block_count_ - run.first;
  }
  // `buffer` is a whole number of blocks; the run lies inside the volume or kCorrupt.
  Result<void> Read(uint64_t block, Bytes buffer) const;
  // One inode; all zero when it lies in the dead part of its table. kCorrupt when there is none.
  Result<RawInode> ReadInode(uint32_t inode) const;
  // An inode from its bytes in a table (inode_bytes() of them).
  [[nodiscard]] RawInode InodeFrom(uint32_t number, ConstBytes bytes) const;

 private:
  Ext4Blocks(ext2_filsys fs, IoManager& io) : fs_(fs), io_(&io) {}

  ext2_filsys fs_;
  IoManager* io_;
  uint32_t block_bytes_ = 0;
  uint32_t inode_bytes_ = 0;
  uint32_t inodes_per_group_ = 0;
  uint64_t block_count_ = 0;
  std::vector<InodeTable> tables_;
};

// Whether the inode is never an object of the tree: reserved ones other than the root, journal,
// quota and orphan files.
bool IsInternalInode(const ext2_super_block& super, uint32_t inode) noexcept;

// Linked and of a known kind. The value of an xattr is not an object: it has no name.
bool IsObject(const RawInode& inode) noexcept;
bool IsDirectory(const RawInode& inode) noexcept;
bool IsRegular(const RawInode& inode) noexcept;
// Holds the value of an xattr (ea_inode feature) and is in use.
bool IsValueInode(const RawInode& inode) noexcept;

}  // namespace mica::guest
