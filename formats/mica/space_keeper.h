// SPDX-License-Identifier: Apache-2.0
// SpaceKeeper: room in the file for writes, without ever touching the room that the next checkpoint
// needs. The file grows ahead of need with Allocate, so that a write that was admitted does not
// fail for want of space later. When the host is full it looks for space inside: the free walk.
#pragma once

#include "engine/async/async_mutex.h"
#include "formats/mica/image.h"

namespace mica::native {

class SpaceKeeper {
 public:
  explicit SpaceKeeper(Image& image) : image_(image), growing_(image.loop), walked_(image.loop) {}

  // Makes `slots` slots available on top of what the next checkpoint needs. Reads the map to find
  // free slots when the file cannot grow. kNoSpace when neither helps; slots that are still parked
  // are not waited for.
  Async<void> Ensure(uint64_t slots);
  // The same for a checkpoint: `slots` in all.
  Async<void> EnsureForCheckpoint(uint64_t slots);

  // Whether growing ahead of need, or the walk for free slots, would be a good thing to do in the
  // background now.
  [[nodiscard]] bool WantsBackgroundWork() const noexcept;
  // Does it. Errors are left for those who need the space.
  Task<void> BackgroundWork();

 private:
  [[nodiscard]] uint64_t Spare() const noexcept;
  [[nodiscard]] uint64_t StepSlots() const noexcept;
  Async<void> EnsureAvailable(uint64_t slots);
  Async<void> Grow(uint64_t slots_min);
  Async<void> GrowTo(uint64_t end);
  Async<void> Walk();

  Image& image_;
  AsyncMutex growing_;
  AsyncMutex walked_;
  bool walk_wanted_ = false;  // the file has grown although there may be free slots inside
};

}  // namespace mica::native
