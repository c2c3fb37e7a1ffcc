// SPDX-License-Identifier: Apache-2.0
// Committer: makes what was published durable. A flush writes the pending records to the log and
// syncs once; flushes that arrive while one runs share the next. When the log has no room it writes
// a checkpoint instead, which makes the same things durable.
#pragma once

#include "engine/async/async_mutex.h"
#include "formats/mica/checkpointer.h"

namespace mica::native {

class Committer {
 public:
  Committer(Image& image, SpaceKeeper& space)
      : image_(image),
        checkpointer_(image, space),
        flushed_(image.loop),
        commit_mutex_(image.loop),
        checkpoint_mutex_(image.loop) {}

  // Everything published before the call is durable when it succeeds.
  Async<void> Flush();

  // Empties the log into the map while writes and flushes go on.
  Async<void> Checkpoint();
  // The same, and `change` becomes durable with it or, when this fails, not at all; where that is
  // not known the image takes no more writes until it is opened again.
  Async<void> CheckpointWith(SuperblockChange& change);
  // The same, begun after the call even while another one runs.
  Async<void> CheckpointNow() { return CheckpointLogged(nullptr); }
  // The same, with the log at `ring` from then on: free slots as many as it has, which are taken
  // out of the allocator already. On failure they are free again.
  Async<void> MoveRing(SlotRun ring);
  // The same with nothing else going on: marks the image clean, and sealed when a digest is given.
  Async<void> CheckpointClean(std::optional<std::array<uint8_t, 16>> seal_digest,
                              SuperblockChange* change);
  // Only `change`, while writes and flushes go on. It must not matter to them whether it is
  // durable: after a failure it may be or not.
  Async<void> PublishChange(SuperblockChange& change);
  // `change` puts another map and size in the place of what is there, log and all. Nothing else may
  // go on, and the image is superseded.
  Async<void> PublishReplacement(SuperblockChange& change);
  // After a replay, before anything else: writes the recovered map and restarts the log at
  // `sequence`, which is above every page number that was ever used.
  Async<void> CheckpointRecovered(uint64_t sequence);

  // Writes a page that says the last flush has succeeded, without a sync of its own. It lets a
  // later replay tell damage from writes that never arrived.
  Async<void> Confirm();

  [[nodiscard]] bool flush_running() const noexcept { return flush_running_; }
  [[nodiscard]] bool WantsCheckpoint() const noexcept;
  [[nodiscard]] bool WantsConfirm() const noexcept;

 private:
  Async<void> Round();
  [[nodiscard]] bool PendingFits() const noexcept;
  Async<void> WriteLog(const RecordBatch& batch);
  Async<void> MarkUnclean();
  Async<void> CommitTaken(RecordBatch batch, uint64_t group);
  Async<void> CheckpointLogged(SuperblockChange* change);
  Async<void> CheckpointInsteadOfLog(CheckpointGoal goal);
  void PoisonIfDisksDiffer(const CheckpointGoal& goal);
  [[nodiscard]] CheckpointGoal GoalHere() const;
  [[nodiscard]] bool LogShouldGrow() const noexcept;
  Async<SlotRun> AllocateRing(uint32_t count);
  Async<void> ZeroRing(SlotRun ring);

  Image& image_;
  Checkpointer checkpointer_;
  uint64_t requested_ = 0;  // flushes asked for
  uint64_t answered_ = 0;   // of these are done
  bool flush_running_ = false;
  WaitList flushed_;
  // Taken in this order. Holding the first, nobody writes the log; the second, the superblock.
  AsyncMutex commit_mutex_;
  AsyncMutex checkpoint_mutex_;
  bool checkpoint_running_ = false;
  uint64_t confirmed_sequence_ = 0;  // the log says so
  uint64_t tried_end_ = 0;           // one past the highest page number that was ever written
  EventLoop::Time last_checkpoint_{0};
};

}  // namespace mica::native
