// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/block_cache.h"

#include <algorithm>

#include "engine/base/check.h"

namespace mica::guest {

void BlockCache::Reset(size_t block_bytes) {
  MICA_CHECK(block_bytes >= 512 && block_bytes <= 65536);
  block_bytes_ = block_bytes;
  blocks_.assign(kBytesMax / block_bytes, kEmpty);
  data_.resize(blocks_.size() * block_bytes);
}

bool BlockCache::Load(uint64_t block, Bytes to) const {
  if (blocks_.empty()) return false;
  const size_t slot = SlotOf(block);
  if (blocks_[slot] != block) return false;
  std::memcpy(to.data(), data_.data() + slot * block_bytes_, block_bytes_);
  return true;
}

void BlockCache::Store(uint64_t block, ConstBytes from) {
  if (blocks_.empty()) return;
  const size_t slot = SlotOf(block);
  blocks_[slot] = block;
  std::memcpy(data_.data() + slot * block_bytes_, from.data(), block_bytes_);
}

void BlockCache::Drop(uint64_t block) {
  if (blocks_.empty()) return;
  const size_t slot = SlotOf(block);
  if (blocks_[slot] == block) blocks_[slot] = kEmpty;
}

void BlockCache::DropAll() {
  std::ranges::fill(blocks_, kEmpty);
}

void BlockCache::DropRange(uint64_t block, uint64_t count) {
  if (count >= blocks_.size()) return DropAll();
  for (uint64_t i = 0; i < count; ++i) Drop(block + i);
}

}  // namespace mica::guest
