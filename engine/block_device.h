// SPDX-License-Identifier: Apache-2.0
// BlockDevice: the guest seam. What front ends (NBD), filters, jobs and file systems see;
// ImageChain is the one over images. A filter is a BlockDevice around another BlockDevice.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/async/task.h"
#include "engine/base/bytes.h"
#include "engine/base/range.h"

namespace mica {

struct DeviceInfo {
  uint64_t size = 0;             // bytes
  uint32_t block_bytes_min = 1;  // requests need no better alignment than this
  uint32_t block_bytes_preferred = 4096;
  // WriteZeroes with kMayUnmap of an aligned range of these costs no data, only metadata; 0: it may
  // take as long as a write.
  uint32_t quick_zero_bytes = 0;
  bool read_only = false;
  bool rotational = false;
};

enum class Durability : uint8_t {
  kVolatile,  // acknowledged data survives a power cut only after a Flush
  kForced,    // force unit access: durable before the call completes
};

enum class ZeroHint : uint8_t {
  kMayUnmap,   // space may be given back
  kKeepSpace,  // a later write to the range should not fail for want of space
};

// One run of guest bytes in one state, for block status and map.
struct StatusExtent {
  uint64_t length = 0;
  bool hole = false;   // no space is used for it in any layer
  bool zero = false;   // reads zero
  uint32_t depth = 0;  // 0: in no layer; 1: in the head; 2: in its parent; …
  friend bool operator==(const StatusExtent&, const StatusExtent&) = default;
};

// All members: kOutOfRange when the range does not lie inside the device, kReadOnly for changes to
// a read-only device. Calls may overlap in time; of overlapping writes in flight each 4 KiB block
// ends as one or the other, never mixed. A completed write is seen by every later read, whoever
// issues it. Buffers stay alive and unchanged until completion. Loop thread only.
class BlockDevice {
 public:
  BlockDevice() = default;
  BlockDevice(const BlockDevice&) = delete;
  BlockDevice& operator=(const BlockDevice&) = delete;
  virtual ~BlockDevice() = default;

  // Constant for the life of the device, but for a size that may grow: a front end keeps to what it
  // has told its client.
  [[nodiscard]] virtual const DeviceInfo& info() const noexcept = 0;

  virtual Async<void> Read(uint64_t offset, Bytes buffer) = 0;
  virtual Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) = 0;
  virtual Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) = 0;
  // A hint: afterwards the range reads as zero or as before.
  virtual Async<void> Discard(ByteRange range, Durability durability) = 0;
  // Everything acknowledged before the call, by whichever client, survives a power cut.
  virtual Async<void> Flush() = 0;
  // Exact cover of `range`, in order, neighbours merged; at most `extents_max` extents, then the
  // cover ends early (never empty unless the range is).
  virtual Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) = 0;
};

}  // namespace mica
