// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/filters/forwarding_device.h"

namespace mica {

// A window of another device, such as a partition of a disk.
class OffsetDevice final : public ForwardingDevice {
 public:
  // The window must lie inside the inner device.
  OffsetDevice(BlockDevice& inner, ByteRange window);

  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

 private:
  // The range in the inner device; kOutOfRange when it leaves the window.
  [[nodiscard]] Result<ByteRange> Translate(ByteRange range) const;

  ByteRange window_;
};

}  // namespace mica
