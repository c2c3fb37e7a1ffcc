// SPDX-License-Identifier: Apache-2.0
// Checkpointer: writes the changed parts of the map to fresh slots and publishes them with a new
// superblock, which also moves the tail of the log. FORMAT.md section 5 has the order of the steps
// and what a power cut leaves after each.
#pragma once

#include <optional>

#include "formats/mica/image.h"
#include "formats/mica/space_keeper.h"

namespace mica::native {

// What the new superblock says besides the map.
struct CheckpointGoal {
  LogPosition log_tail;  // everything before it is in the map
  SlotRun log;           // the ring, which may be a new one
  bool clean = false;    // nothing follows the tail
  std::optional<std::array<uint8_t, 16>> seal_digest;
};

class Checkpointer {
 public:
  Checkpointer(Image& image, SpaceKeeper& space) : image_(image), space_(space) {}

  // Room for Begin, which must follow without a suspension.
  Async<void> Reserve() { return space_.EnsureForCheckpoint(image_.map.checkpoint_slots()); }
  [[nodiscard]] bool CanBegin() const noexcept {
    return image_.slots.available() >= image_.map.checkpoint_slots();
  }
  // Freezes the map and takes the slots to write it to.
  void Begin();
  // After Begin, instead of Finish: nothing has been written.
  void Abandon();
  // Writes what Begin took. On failure everything it took is due again with the next checkpoint.
  Async<void> Finish(CheckpointGoal goal);
  // Of the last Finish: whether it came as far as the superblock.
  [[nodiscard]] bool superblock_tried() const noexcept { return superblock_tried_; }

 private:
  Async<void> WriteMap();
  Async<void> WriteLeaves();
  Async<void> WriteRegions();
  Async<void> WriteRoots();
  Async<void> Publish(const CheckpointGoal& goal);
  Task<void> TakeBackSuperblock();
  [[nodiscard]] Superblock NextSuperblock(const CheckpointGoal& goal);
  void InstallAll(const CheckpointGoal& goal);
  std::vector<SlotRun> Take(uint32_t count);

  Image& image_;
  SpaceKeeper& space_;
  FrozenMap frozen_;
  std::vector<SlotRun> room_;      // taken by Begin, not used yet
  std::vector<SlotRun> used_;      // written to
  bool superblock_tried_ = false;  // a new superblock may be on disk, and point at used_
};

}  // namespace mica::native
