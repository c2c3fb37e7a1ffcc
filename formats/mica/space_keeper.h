// SPDX-License-Identifier: Apache-2.0
// SpaceKeeper: room in the file for writes, without ever touching the room that the next checkpoint
// needs. The file grows ahead of need with Allocate, so that a write that was admitted does not
// fail for want of space later. When the host is full it looks for space inside: the free walk.
#pragma once

#include "engine/async/async_mutex.h"
#include "formats/mica/image.h"
#include "formats/mica/quota.h"

namespace mica::native {

class SpaceKeeper {
 public:
  explicit SpaceKeeper(Image& image) : image_(image), growing_(image.loop), walked_(image.loop) {}

  // Makes `slots` slots available on top of what the next checkpoint needs. Reads the map to find
  // free slots when the file cannot grow. kNoSpace when neither helps, or the quota forbids it;
  // slots that are still parked are not waited for.
  Async<void> Ensure(uint64_t slots, SpaceUse use);
  // The same for a checkpoint: `slots` in all.
  Async<void> EnsureForCheckpoint(uint64_t slots);

  // Much of what lies below the high water mark may be free that was not: a walk will find out,
  // when room is needed.
  Async<void> Rehide();
  [[nodiscard]] bool has_hidden_again() const noexcept { return hidden_again_; }

  // Whether growing ahead of need, or the walk for free slots, would be a good thing to do in the
  // background now.
  [[nodiscard]] bool WantsBackgroundWork() const noexcept;
  // Makes `slots` free slots below `end` available if there are as many. kNoSpace when the host
  // has no space for them.
  Async<void> EnsureLow(uint64_t slots, Slot end);
  // Finds the free slots that are still hidden.
  Async<void> Walk();

  // Held while the file's size and the host's promises change…
  [[nodiscard]] AsyncMutex& size_mutex() noexcept { return growing_; }
  // …and while slots are found to be free by looking at the map. Taken before the other.
  [[nodiscard]] AsyncMutex& walk_mutex() noexcept { return walked_; }

  // Available beyond what the next checkpoint and writes in flight need.
  [[nodiscard]] uint64_t Spare() const noexcept;
  // By how much the file grows at a time.
  [[nodiscard]] uint64_t StepSlots() const noexcept;

  // Does it. Errors are left for those who need the space.
  Task<void> BackgroundWork();

 private:
  Async<void> EnsureAvailable(uint64_t slots, SpaceUse use);
  Async<void> Grow(uint64_t slots_min, SpaceUse use);
  Async<bool> GrantBare(uint64_t slots);
  Async<void> GrowTo(uint64_t end);

  Image& image_;
  AsyncMutex growing_;
  AsyncMutex walked_;
  bool hidden_again_ = false;
  bool walk_wanted_ = false;  // the file has grown although there may be free slots inside
};

}  // namespace mica::native
