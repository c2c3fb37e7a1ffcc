// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "engine/base/aligned_buffer.h"

namespace mica::nbd {

class BufferPool;

// A buffer borrowed from a pool, aligned for direct I/O, at least as large as was asked for. Goes
// back to the pool when destroyed; the pool must outlive it. Contents are uninitialised.
class PooledBuffer {
 public:
  PooledBuffer() = default;
  PooledBuffer(PooledBuffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), memory_(std::move(other.memory_)) {}
  PooledBuffer& operator=(PooledBuffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  PooledBuffer(const PooledBuffer&) = delete;
  PooledBuffer& operator=(const PooledBuffer&) = delete;
  ~PooledBuffer();

  [[nodiscard]] Bytes first(size_t size) noexcept { return memory_.span().first(size); }

 private:
  friend class BufferPool;
  PooledBuffer(BufferPool& pool, AlignedBuffer memory) : pool_(&pool), memory_(std::move(memory)) {}

  BufferPool* pool_ = nullptr;
  AlignedBuffer memory_;
};

// Aligned buffers in sizes of powers of two, kept for reuse so that a stream of large requests does
// not fault in fresh pages each time. One loop thread.
class BufferPool {
 public:
  // Keeps at most `idle_bytes_max` bytes that nobody uses.
  explicit BufferPool(size_t idle_bytes_max) : idle_bytes_max_(idle_bytes_max) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // `size` is at most kPayloadBytesMax.
  PooledBuffer Get(size_t size);

  [[nodiscard]] size_t idle_bytes() const noexcept { return idle_bytes_; }

 private:
  friend class PooledBuffer;
  static constexpr size_t kSmallestBytes = 4096;
  static constexpr size_t kClassCount = 15;  // 4 KiB to 64 MiB

  void Return(AlignedBuffer memory) noexcept;

  std::array<std::vector<AlignedBuffer>, kClassCount> idle_;
  size_t idle_bytes_ = 0;
  size_t idle_bytes_max_;
};

inline PooledBuffer::~PooledBuffer() {
  if (pool_ != nullptr) pool_->Return(std::move(memory_));
}

}  // namespace mica::nbd
