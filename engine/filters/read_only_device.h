// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/filters/forwarding_device.h"

namespace mica {

// Refuses every change with kReadOnly; a flush has nothing to do.
class ReadOnlyDevice final : public ForwardingDevice {
 public:
  explicit ReadOnlyDevice(BlockDevice& inner) : ForwardingDevice(inner) { info_.read_only = true; }

  Async<void> Write(uint64_t, ConstBytes, Durability) override { return Refuse(); }
  Async<void> WriteZeroes(ByteRange, ZeroHint, Durability) override { return Refuse(); }
  Async<void> Discard(ByteRange, Durability) override { return Refuse(); }
  Async<void> Flush() override { co_return Result<void>(); }

 private:
  static Async<void> Refuse() { co_return Error{Errc::kReadOnly, "the device is read-only"}; }
};

}  // namespace mica
