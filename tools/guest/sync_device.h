// SPDX-License-Identifier: Apache-2.0
// SyncDevice: a BlockDevice for callers that cannot suspend: the guest file system libraries call
// back synchronously. Every call turns the loop until the device has answered, so it must never be
// used from inside a coroutine of that loop.
#pragma once

#include "engine/async/event_loop.h"
#include "engine/base/bytes.h"
#include "engine/base/range.h"
#include "engine/base/result.h"
#include "engine/block_device.h"

namespace mica::guest {

// Borrows the loop and the device; both outlive it. One thread: the loop's. Errors are the
// device's, with kOutOfRange for ranges beyond its end (checked here too, as ranges come from guest
// metadata).
class SyncDevice {
 public:
  SyncDevice(EventLoop& loop, BlockDevice& device) : loop_(loop), device_(device) {}
  SyncDevice(const SyncDevice&) = delete;
  SyncDevice& operator=(const SyncDevice&) = delete;

  [[nodiscard]] uint64_t size() const noexcept { return device_.info().size; }
  [[nodiscard]] bool read_only() const noexcept { return device_.info().read_only; }
  [[nodiscard]] EventLoop& loop() noexcept { return loop_; }
  [[nodiscard]] BlockDevice& device() noexcept { return device_; }

  Result<void> Read(uint64_t offset, Bytes buffer);
  Result<void> Write(uint64_t offset, ConstBytes buffer);
  Result<void> WriteZeroes(ByteRange range);
  Result<void> Discard(ByteRange range);
  Result<void> Flush();

 private:
  [[nodiscard]] Result<void> CheckRange(ByteRange range) const;

  EventLoop& loop_;
  BlockDevice& device_;
};

}  // namespace mica::guest
