// SPDX-License-Identifier: Apache-2.0
// Checkpointer: writes the changed parts of the map to fresh slots and publishes them with a new
// superblock, which also moves the tail of the log. FORMAT.md section 5 has the order of the steps
// and what a power cut leaves after each.
#pragma once

#include <optional>

#include "formats/mica/image.h"
#include "formats/mica/space_keeper.h"

namespace mica::native {

// What changes in the superblock besides the map and the log. Outlives the checkpoint.
class SuperblockChange {
 public:
  SuperblockChange() = default;
  SuperblockChange(const SuperblockChange&) = delete;
  SuperblockChange& operator=(const SuperblockChange&) = delete;
  virtual ~SuperblockChange() = default;

  // Slots that BeforeFreeze may add to what the checkpoint needs.
  [[nodiscard]] virtual uint64_t slots_max() const noexcept { return 0; }
  // Both in the turn in which the map is frozen; `epoch` is that of the newest change in it.
  virtual void BeforeFreeze() {}
  virtual void AfterFreeze(uint32_t epoch) { static_cast<void>(epoch); }
  // `next` points at the new map, which has been written. What this writes, to slots of its own, is
  // synced before the superblock is written.
  virtual Async<void> Apply(Superblock& next) = 0;
};

// What the new superblock says besides the map.
struct CheckpointGoal {
  LogPosition log_tail;  // everything before it is in the map
  SlotRun log;           // the ring, which may be a new one
  bool clean = false;    // nothing follows the tail
  std::optional<std::array<uint8_t, 16>> seal_digest;
  SuperblockChange* change = nullptr;
};

class Checkpointer {
 public:
  Checkpointer(Image& image, SpaceKeeper& space) : image_(image), space_(space) {}

  // Room for Begin, which must follow without a suspension.
  Async<void> Reserve(const SuperblockChange* change);
  [[nodiscard]] bool CanBegin(const SuperblockChange* change) const noexcept;
  // Freezes the map and takes the slots to write it to.
  void Begin(SuperblockChange* change);
  // After Begin, instead of Finish: nothing has been written.
  void Abandon();
  // Writes what Begin took. On failure everything it took is due again with the next checkpoint.
  Async<void> Finish(CheckpointGoal goal);
  // Instead of Begin and Finish: only the superblock changes, and the map that it points at if
  // goal.change says so. A failure may leave either superblock on disk.
  Async<void> PublishOnly(CheckpointGoal goal);
  // Of the last Finish or PublishOnly: whether it came as far as the superblock.
  [[nodiscard]] bool superblock_tried() const noexcept { return superblock_tried_; }

 private:
  Async<void> WriteMap();
  Async<void> WriteLeaves();
  Async<void> WriteRegions();
  Async<void> WriteRoots();
  Async<void> SyncAndPublish(const CheckpointGoal& goal);
  Async<void> Publish(const Superblock& next);
  Async<void> WriteOtherSuperblock();
  Task<void> TakeBackSuperblock();
  [[nodiscard]] Superblock NextSuperblock(const CheckpointGoal& goal);
  void InstallAll(const CheckpointGoal& goal);
  std::vector<SlotRun> Take(uint32_t count);

  Image& image_;
  SpaceKeeper& space_;
  FrozenMap frozen_;
  std::vector<SlotRun> room_;      // taken by Begin, not used yet
  std::vector<SlotRun> used_;      // written to
  uint64_t moved_slots_ = 0;       // of Image::moved, those that the frozen map knows of
  bool superblock_tried_ = false;  // a new superblock may be on disk, and point at used_
};

}  // namespace mica::native
