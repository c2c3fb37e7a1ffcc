// SPDX-License-Identifier: Apache-2.0
// ApplyBuffer: gathers what is written to a device and hands it on in large pieces, in order.
// Writing a guest file system touches the same inode tables, bitmaps and directories again and
// again; a delta that redirects on write would store each of these versions.
#pragma once

#include <optional>

#include "engine/filters/forwarding_device.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest {

// Borrows `inner`. One call at a time. Flush hands everything on; what was not flushed is lost with
// the object. An error of `inner` may show at a later write or at the flush.
class ApplyBuffer final : public ForwardingDevice {
 public:
  static constexpr uint64_t kDefaultBytesMax = uint64_t{128} << 20;

  // Hands on by itself whenever `bytes_max` bytes have been written.
  explicit ApplyBuffer(BlockDevice& inner, uint64_t bytes_max = kDefaultBytesMax);

  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;  // does nothing
  Async<void> Flush() override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

 private:
  Async<void> HandOn();
  Async<void> HandOnIfFull(uint64_t bytes);

  uint64_t bytes_max_;
  uint64_t bytes_written_ = 0;             // since the last time
  std::optional<OverlayDevice> gathered_;  // never empty; replaced as a whole
};

}  // namespace mica::guest
