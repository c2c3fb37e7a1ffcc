// SPDX-License-Identifier: Apache-2.0
// BlockCache: recently used file system blocks, so that inode tables and bitmaps are not fetched
// for every inode. It never holds anything the device does not: writes go through.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"

namespace mica::guest {

// Direct-mapped: a block has one slot, a newer block evicts. Bounded by kBytesMax. One thread.
class BlockCache {
 public:
  static constexpr size_t kBytesMax = size_t{8} << 20;

  // Forgets everything; `block_bytes` is at least 512 and at most 64 KiB.
  void Reset(size_t block_bytes);

  // Copies the block into `to` (exactly one block); false when it is not held.
  bool Load(uint64_t block, Bytes to) const;
  void Store(uint64_t block, ConstBytes from);
  void Drop(uint64_t block);
  void DropAll();
  // Cheaper of dropping each block and everything.
  void DropRange(uint64_t block, uint64_t count);

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;

  [[nodiscard]] size_t SlotOf(uint64_t block) const noexcept { return block % blocks_.size(); }

  size_t block_bytes_ = 0;
  std::vector<uint64_t> blocks_;  // which block each slot holds
  std::vector<std::byte> data_;
};

}  // namespace mica::guest
