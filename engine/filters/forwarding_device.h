// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/block_device.h"

namespace mica {

// What filters derive from: passes everything on, so that a filter is only what it changes. The
// inner device is borrowed.
class ForwardingDevice : public BlockDevice {
 public:
  explicit ForwardingDevice(BlockDevice& inner) : inner_(inner), info_(inner.info()) {}

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override { return inner_.Read(offset, buffer); }
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override {
    return inner_.Write(offset, buffer, durability);
  }
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override {
    return inner_.WriteZeroes(range, hint, durability);
  }
  Async<void> Discard(ByteRange range, Durability durability) override {
    return inner_.Discard(range, durability);
  }
  Async<void> Flush() override { return inner_.Flush(); }
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override {
    return inner_.Status(range, extents_max);
  }

 protected:
  BlockDevice& inner_;
  DeviceInfo info_;
};

}  // namespace mica
