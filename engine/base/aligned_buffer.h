// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "engine/base/bytes.h"

namespace mica {

// The alignment that direct I/O wants on every host we know; also a memory page.
inline constexpr size_t kDirectIoAlignment = 4096;

// Owns uninitialised memory aligned for direct I/O. Movable, never copied by accident.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size)
      : data_(static_cast<std::byte*>(
            ::operator new(size == 0 ? 1 : size, std::align_val_t{kDirectIoAlignment}))),
        size_(size) {}

  [[nodiscard]] std::byte* data() noexcept { return data_.get(); }
  [[nodiscard]] const std::byte* data() const noexcept { return data_.get(); }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] Bytes span() noexcept { return {data_.get(), size_}; }
  [[nodiscard]] ConstBytes span() const noexcept { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept {
      ::operator delete(data, std::align_val_t{kDirectIoAlignment});
    }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace mica
