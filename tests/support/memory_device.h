// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>

#include "engine/base/checked_math.h"
#include "engine/block_device.h"

namespace mica::testing {

// A disk in memory that does everything at once and keeps its bytes where a test can look at them.
class MemoryDevice final : public BlockDevice {
 public:
  explicit MemoryDevice(uint64_t size) : bytes(size) { info_.size = size; }

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override {
    const ByteRange range{offset, buffer.size()};
    CO_TRY(Check(range));
    std::copy_n(bytes.begin() + static_cast<int64_t>(offset), buffer.size(), buffer.begin());
    co_return Result<void>();
  }
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability) override {
    const ByteRange range{offset, buffer.size()};
    CO_TRY(Check(range));
    std::ranges::copy(buffer, bytes.begin() + static_cast<int64_t>(offset));
    co_return Result<void>();
  }
  Async<void> WriteZeroes(ByteRange range, ZeroHint, Durability) override {
    CO_TRY(Check(range));
    std::fill_n(bytes.begin() + static_cast<int64_t>(range.offset), range.length, std::byte{0});
    co_return Result<void>();
  }
  Async<void> Discard(ByteRange range, Durability durability) override {
    co_return co_await WriteZeroes(range, ZeroHint::kMayUnmap, durability);
  }
  Async<void> Flush() override {
    ++flushes;
    co_return Result<void>();
  }
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t) override {
    CO_TRY(Check(range));
    std::vector<StatusExtent> extents;
    if (!range.empty()) extents.push_back(StatusExtent{range.length, false, false, 1});
    co_return extents;
  }

  std::vector<std::byte> bytes;
  int flushes = 0;

 private:
  [[nodiscard]] Result<void> Check(ByteRange range) const {
    if (!FitsInside(range, info_.size)) return Error{Errc::kOutOfRange, "outside the device"};
    return {};
  }

  DeviceInfo info_;
};

}  // namespace mica::testing
