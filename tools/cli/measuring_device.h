// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/base/checked_math.h"
#include "engine/block_device.h"

namespace mica {

// A disk of zeroes that forgets what is written to it: the target of a dry run.
class MeasuringDevice final : public BlockDevice {
 public:
  explicit MeasuringDevice(uint64_t size) { info_.size = size; }

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override {
    FillZero(buffer);
    return Check({offset, buffer.size()});
  }
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability) override {
    return Check({offset, buffer.size()});
  }
  Async<void> WriteZeroes(ByteRange range, ZeroHint, Durability) override { return Check(range); }
  Async<void> Discard(ByteRange range, Durability) override { return Check(range); }
  Async<void> Flush() override { return Check({}); }
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t) override {
    CO_TRY(co_await Check(range));
    std::vector<StatusExtent> extents;
    if (!range.empty()) extents.push_back(StatusExtent{range.length, true, true, 0});
    co_return extents;
  }

 private:
  Async<void> Check(ByteRange range) const {
    if (!FitsInside(range, info_.size)) co_return Error{Errc::kOutOfRange, "past the end"};
    co_return Result<void>();
  }

  DeviceInfo info_;
};

}  // namespace mica
