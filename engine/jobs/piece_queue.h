// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "engine/async/async_mutex.h"
#include "engine/block_device.h"

namespace mica {

// A range that has to be looked at, in one state on each of the two devices.
struct Piece {
  ByteRange range;
  bool first_zero = false;  // reads zero; so does what is past a device's end
  bool second_zero = false;
};

// Deals the common range of two devices out to concurrent workers, in order, and leaves out what is
// known to read zero on both. A device may be missing: it is all zero then. Loop thread only;
// borrows the devices.
class PieceQueue {
 public:
  // [0, size) is dealt out; a device that is shorter reads zero from its end on.
  PieceQueue(EventLoop& loop, BlockDevice* first, BlockDevice* second, uint64_t size);

  static constexpr uint64_t kPieceBytesMax = uint64_t{1} << 20;

  // Empty when nothing is left. Errors of Status.
  Async<std::optional<Piece>> Next();

  // Bytes so far that no piece covers.
  [[nodiscard]] uint64_t skipped_bytes() const noexcept { return skipped_bytes_; }

 private:
  // The known state of one device from the queue's position on.
  struct Side {
    BlockDevice* device;  // may be null
    std::vector<StatusExtent> extents;
    size_t next = 0;
    uint64_t known_until = 0;
  };
  Async<void> Refill(Side& side) const;
  [[nodiscard]] Piece TakeFront();

  AsyncMutex mutex_;
  Side first_;
  Side second_;
  uint64_t position_ = 0;
  const uint64_t size_;
  uint64_t skipped_bytes_ = 0;
};

}  // namespace mica
