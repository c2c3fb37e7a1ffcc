// SPDX-License-Identifier: Apache-2.0
#include "nbd/buffer_pool.h"

#include <bit>

#include "engine/base/check.h"

namespace mica::nbd {

PooledBuffer BufferPool::Get(size_t size) {
  const size_t units = (std::max<size_t>(size, 1) - 1) / kSmallestBytes + 1;
  const size_t index = static_cast<size_t>(std::bit_width(units - 1));
  MICA_CHECK(index < kClassCount);
  std::vector<AlignedBuffer>& idle = idle_[index];
  if (idle.empty()) return {*this, AlignedBuffer(kSmallestBytes << index)};
  AlignedBuffer memory = std::move(idle.back());
  idle.pop_back();
  idle_bytes_ -= memory.size();
  return {*this, std::move(memory)};
}

void BufferPool::Return(AlignedBuffer memory) noexcept {
  if (memory.size() > idle_bytes_max_ - idle_bytes_) return;
  idle_bytes_ += memory.size();
  idle_[static_cast<size_t>(std::bit_width(memory.size() / kSmallestBytes) - 1)].push_back(
      std::move(memory));
}

}  // namespace mica::nbd
