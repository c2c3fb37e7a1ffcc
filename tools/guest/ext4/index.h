// SPDX-License-Identifier: Apache-2.0
// Ext4Index: who owns which block of a sealed volume, and which names an inode has. Built once when
// a master is published; with it a diff needs to look only at what a delta touched. About 50 bytes
// a file.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/index_blocks.h"
#include "tools/guest/name_source.h"

namespace mica::guest {

enum class BlockUse : uint8_t { kContent, kDirectory, kMapping, kXattr };

// Blocks [block, block + length) belong to `inode`; `logical` is the first one's place in the
// content (kContent, kDirectory). Blocks of an xattr block shared by several inodes have one entry
// each.
struct IndexExtent {
  uint64_t block = 0;
  uint32_t length = 0;
  uint32_t inode = 0;
  uint32_t logical = 0;
  BlockUse use = BlockUse::kContent;

  [[nodiscard]] uint64_t end() const noexcept { return block + length; }
  friend bool operator==(const IndexExtent&, const IndexExtent&) = default;
};

struct IndexName {
  uint32_t parent = 0;
  std::string_view leaf;  // borrowed from the index
};

// An inode that holds an xattr's value, and an inode that uses it (ea_inode feature).
struct ValueOwner {
  uint32_t value = 0;
  uint32_t owner = 0;
  friend auto operator<=>(const ValueOwner&, const ValueOwner&) = default;
};

// Which volume an index was made of; a diff refuses another one's.
struct VolumeShape {
  uint32_t block_bytes = 0;
  uint32_t inode_bytes = 0;
  uint32_t inodes_per_group = 0;
  uint32_t inode_count = 0;
  uint64_t block_count = 0;
  friend bool operator==(const VolumeShape&, const VolumeShape&) = default;
};

VolumeShape ShapeOf(const Ext4Blocks& blocks);

class IndexBuilder;
class IndexReader;
class IndexWriter;

// Immutable after it was built or read: any number of diffs may use it at once.
class Ext4Index final : public NameSource {
 public:
  [[nodiscard]] const VolumeShape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::span<const IndexExtent> extents() const noexcept { return extents_; }
  [[nodiscard]] size_t name_count() const noexcept { return names_.size(); }
  [[nodiscard]] uint64_t memory_bytes() const noexcept;

  // Calls `visit` for every extent that shares blocks with the run, in order of blocks.
  void ForEachOwner(BlockSpan run, const std::function<void(const IndexExtent&)>& visit) const;
  // All names of an inode, by parent and leaf; none for the root.
  [[nodiscard]] std::vector<IndexName> NamesOf(uint32_t inode) const;
  [[nodiscard]] std::vector<TargetName> AllNamesOf(uint64_t inode) const override;
  // The inodes that use a value inode.
  [[nodiscard]] std::vector<uint32_t> OwnersOfValue(uint32_t value) const;

 private:
  friend class IndexBuilder;
  friend class IndexReader;
  friend class IndexWriter;

  // The leaf is leaf_bytes_[leaf]: one byte of length, then its bytes.
  struct NameRow {
    uint32_t child = 0;
    uint32_t parent = 0;
    uint32_t leaf = 0;
  };

  [[nodiscard]] std::string_view LeafAt(uint32_t offset) const noexcept;

  VolumeShape shape_;
  std::vector<IndexExtent> extents_;  // by block, inode
  std::vector<NameRow> names_;        // by child, parent, leaf
  std::string leaf_bytes_;
  std::vector<ValueOwner> value_owners_;  // sorted
};

// Reads all inode tables and directories of a clean volume, each once and in order of the disk.
// kCorrupt when two objects claim a block or metadata breaks its rules, kUnsupported for encrypted
// directories, kLimit when it does not fit 32-bit offsets. Borrows both for the call.
Result<Ext4Index> BuildIndex(ext2_filsys fs, IoManager& io);

}  // namespace mica::guest
