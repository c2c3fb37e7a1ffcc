// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/committer.h"

#include <algorithm>
#include <utility>

namespace mica::native {

namespace {
// A log that fills up faster than this is too small…
constexpr std::chrono::seconds kQuickCheckpoint{10};
// …but it never becomes a bigger part of the file than this.
constexpr uint64_t kLogPart = 32;
constexpr uint32_t kZeroSlotsMax = (uint32_t{1} << 20) / kSlotBytes;
}  // namespace

Async<void> Committer::Flush() {
  const uint64_t wanted = ++requested_;
  while (answered_ < wanted) {
    CO_TRY(image_.CheckHealthy());
    if (flush_running_) {
      co_await flushed_.Wait();
      continue;
    }
    flush_running_ = true;
    const Result<void> done = co_await Round();
    flush_running_ = false;
    flushed_.NotifyAll();
    CO_TRY(done);
  }
  co_return Result<void>();
}

bool Committer::PendingFits() const noexcept {
  return image_.pending.PagesMax() < image_.log.free_pages();
}

Async<void> Committer::Round() {
  const AsyncMutex::Lock commit_lock = co_await commit_mutex_.Acquire();
  CO_TRY(image_.CheckHealthy());
  const uint64_t covers = requested_;
  if (!image_.pending.empty()) {
    if (!PendingFits()) {
      // A checkpoint may be about to make room.
      const AsyncMutex::Lock checkpoint_lock = co_await checkpoint_mutex_.Acquire();
      if (!PendingFits()) CO_TRY(co_await CheckpointInsteadOfLog(GoalHere()));
    }
    if (!image_.pending.empty() && PendingFits()) {
      RecordBatch batch = std::exchange(image_.pending, {});
      const uint64_t group = image_.reclaimer.Seal();
      CO_TRY(co_await CommitTaken(std::move(batch), group));
    }
  }
  answered_ = std::max(answered_, covers);
  co_return Result<void>();
}

// The commit mutex is held; `batch` is all that was pending, `group` what it replaced.
Async<void> Committer::CommitTaken(RecordBatch batch, uint64_t group) {
  const Result<void> written = co_await WriteLog(batch);
  if (!written) {
    // Not one page counts until a sync has succeeded, so the same page numbers are used again.
    batch.Append(image_.pending);
    image_.pending = std::move(batch);
    co_return written;
  }
  CO_TRY(co_await image_.Sync());
  image_.log.MakeDurable();
  image_.reclaimer.MakeDurable(group);
  co_return Result<void>();
}

Async<void> Committer::WriteLog(const RecordBatch& batch) {
  if (image_.superblock.clean) CO_TRY(co_await MarkUnclean());
  LogPageHeader header;
  header.tag = image_.superblock.Tag();
  header.sequence = image_.log.next().sequence;
  header.previous_hash = image_.log.next().previous_hash;
  header.durable_sequence = image_.log.durable_sequence();
  header.epoch = image_.epoch;
  uint64_t last_hash = 0;
  const AlignedBuffer pages = EncodeLogPages(batch, header, last_hash);
  const uint64_t count = pages.size() / kSlotBytes;
  MICA_CHECK(count <= image_.log.free_pages());
  const uint64_t before_wrap = std::min(count, image_.log.PagesToWrap());
  tried_end_ = std::max(tried_end_, header.sequence + count);
  const ConstBytes first = pages.span().first(before_wrap * kSlotBytes);
  const ConstBytes rest = pages.span().subspan(first.size());
  CO_TRY(co_await image_.file->Write(image_.log.OffsetOf(0), first));
  if (!rest.empty()) {
    CO_TRY(co_await image_.file->Write(image_.log.OffsetOf(before_wrap), rest));
  }
  image_.log.Advance(count, last_hash);
  confirmed_sequence_ = header.durable_sequence;
  co_return Result<void>();
}

// Once per opening, before the first page of the log.
Async<void> Committer::MarkUnclean() {
  CO_TRY(co_await image_.ConfirmSuperblock());
  Superblock next = image_.superblock;
  next.sequence = ++image_.superblock_sequence;
  next.clean = false;
  next.autoclear_features = 0;
  CO_TRY(co_await WriteSuperblock(*image_.file, next, 1 - image_.superblock_position));
  CO_TRY(co_await image_.Sync());  // only then may the other copy follow
  image_.superblock_position = 1 - image_.superblock_position;
  image_.superblock = next;
  co_return co_await WriteSuperblock(*image_.file, next, 1 - image_.superblock_position);
}

CheckpointGoal Committer::GoalHere() const {
  CheckpointGoal goal;
  goal.log_tail = image_.log.next();
  // A page that could not be written may be on disk all the same. What it says is in the map now,
  // and must not be replayed on top of it: skip its number. (After a commit nothing is skipped: it
  // has written over all such pages.)
  goal.log_tail.sequence = std::max(goal.log_tail.sequence, tried_end_);
  goal.log = image_.log.slots();
  return goal;
}

Async<void> Committer::Checkpoint() {
  if (checkpoint_running_) co_return Result<void>();
  checkpoint_running_ = true;
  const Result<void> done = co_await CheckpointLogged(nullptr);
  last_checkpoint_ = image_.loop.Now();
  checkpoint_running_ = false;
  co_return done;
}

Async<void> Committer::CheckpointWith(SuperblockChange& change) {
  co_return co_await CheckpointLogged(&change);
}

Async<void> Committer::CheckpointLogged(SuperblockChange* change) {
  std::optional<AsyncMutex::Lock> commit_lock;
  commit_lock.emplace(co_await commit_mutex_.Acquire());
  const AsyncMutex::Lock checkpoint_lock = co_await checkpoint_mutex_.Acquire();
  CO_TRY(image_.CheckHealthy());
  if (change == nullptr && LogShouldGrow()) {
    CO_ASSIGN(const SlotRun ring, co_await AllocateRing(image_.log.slots().count * 2));
    if (ring.count > 0) {
      CheckpointGoal goal = GoalHere();
      goal.log = ring;
      goal.log_tail.index = 0;
      const Result<void> moved = co_await CheckpointInsteadOfLog(goal);
      co_return moved;
    }
  }
  while (!checkpointer_.CanBegin(change)) CO_TRY(co_await checkpointer_.Reserve(change));
  if (!PendingFits()) {
    CheckpointGoal goal = GoalHere();
    goal.change = change;
    const Result<void> done = co_await CheckpointInsteadOfLog(goal);
    co_return done;
  }
  // One moment: what the log says up to its new end is what the frozen map holds.
  RecordBatch batch = std::exchange(image_.pending, {});
  const uint64_t group = image_.reclaimer.Seal();
  checkpointer_.Begin(change);
  const Result<void> committed = co_await CommitTaken(std::move(batch), group);
  if (!committed) {
    checkpointer_.Abandon();
    co_return committed;
  }
  CheckpointGoal goal = GoalHere();
  goal.change = change;
  commit_lock.reset();
  const Result<void> done = co_await checkpointer_.Finish(goal);
  if (!done && change != nullptr) PoisonIfDisksDiffer(goal);
  co_return done;
}

// Both mutexes are held, so the log stands still; what is pending goes into the map without it.
Async<void> Committer::CheckpointInsteadOfLog(CheckpointGoal goal) {
  while (!checkpointer_.CanBegin(goal.change)) CO_TRY(co_await checkpointer_.Reserve(goal.change));
  RecordBatch batch = std::exchange(image_.pending, {});
  const uint64_t group = image_.reclaimer.Seal();
  checkpointer_.Begin(goal.change);
  const Result<void> done = co_await checkpointer_.Finish(goal);
  if (!done) {
    PoisonIfDisksDiffer(goal);
    batch.Append(image_.pending);
    image_.pending = std::move(batch);
    co_return done;
  }
  image_.log.MakeDurable();
  image_.reclaimer.MakeDurable(group);
  co_return Result<void>();
}

// The failed superblock may be on disk. When its log is where the log goes on anyway, it and the
// old superblock lead to the same disk; otherwise what is flushed from now on would be in one of
// the two logs only. A snapshot that exists in one of them only would lose its slots.
void Committer::PoisonIfDisksDiffer(const CheckpointGoal& goal) {
  const bool goes_on = goal.log == image_.log.slots() && !goal.clean && goal.change == nullptr &&
                       goal.log_tail.sequence == image_.log.next().sequence;
  if (goes_on || !checkpointer_.superblock_tried() || image_.poison) return;
  image_.poison = Error{Errc::kIo, image_.path.string() +
                                       ": the superblock could not be written; nothing more is "
                                       "written until the image is opened again"};
}

Async<void> Committer::PublishReplacement(SuperblockChange& change) {
  const AsyncMutex::Lock commit_lock = co_await commit_mutex_.Acquire();
  const AsyncMutex::Lock checkpoint_lock = co_await checkpoint_mutex_.Acquire();
  CO_TRY(image_.CheckHealthy());
  CheckpointGoal goal = GoalHere();
  goal.clean = true;
  goal.change = &change;
  change.AfterFreeze(image_.epoch++);
  const Result<void> done = co_await checkpointer_.PublishOnly(goal);
  if (!done) PoisonIfDisksDiffer(goal);
  CO_TRY(done);
  image_.superseded = true;
  co_return co_await image_.file->Sync();  // for the second superblock
}

Async<void> Committer::PublishChange(SuperblockChange& change) {
  const AsyncMutex::Lock commit_lock = co_await commit_mutex_.Acquire();
  const AsyncMutex::Lock checkpoint_lock = co_await checkpoint_mutex_.Acquire();
  CO_TRY(image_.CheckHealthy());
  CheckpointGoal goal;
  goal.log_tail = image_.log.tail();
  goal.log = image_.log.slots();
  goal.clean = image_.superblock.clean;
  goal.change = &change;
  co_return co_await checkpointer_.PublishOnly(goal);
}

Async<void> Committer::CheckpointClean(std::optional<std::array<uint8_t, 16>> seal_digest,
                                       SuperblockChange* change) {
  const AsyncMutex::Lock commit_lock = co_await commit_mutex_.Acquire();
  const AsyncMutex::Lock checkpoint_lock = co_await checkpoint_mutex_.Acquire();
  CO_TRY(image_.CheckHealthy());
  CheckpointGoal goal = GoalHere();
  goal.clean = true;
  goal.seal_digest = seal_digest;
  goal.change = change;
  CO_TRY(co_await CheckpointInsteadOfLog(goal));
  co_return co_await image_.Sync();  // for the second superblock
}

Async<void> Committer::CheckpointRecovered(uint64_t sequence) {
  const AsyncMutex::Lock commit_lock = co_await commit_mutex_.Acquire();
  const AsyncMutex::Lock checkpoint_lock = co_await checkpoint_mutex_.Acquire();
  LogPosition start;
  start.sequence = sequence;
  image_.log.Restart(start);
  CO_TRY(co_await CheckpointInsteadOfLog(GoalHere()));
  co_return Result<void>();
}

Async<void> Committer::Confirm() {
  const AsyncMutex::Lock commit_lock = co_await commit_mutex_.Acquire();
  if (!WantsConfirm()) co_return Result<void>();
  const RecordBatch nothing;
  co_return co_await WriteLog(nothing);
}

bool Committer::WantsConfirm() const noexcept {
  const LogRing& log = image_.log;
  return !image_.poison && log.live_pages() > 0 && log.free_pages() > log.slots().count / 4 &&
         log.durable_sequence() + 1 == log.next().sequence &&
         confirmed_sequence_ < log.durable_sequence();
}

bool Committer::WantsCheckpoint() const noexcept {
  return !checkpoint_running_ && !image_.poison &&
         image_.log.live_pages() > image_.log.slots().count / 2;
}

bool Committer::LogShouldGrow() const noexcept {
  const uint64_t count = uint64_t{image_.log.slots().count} * 2;
  return count <= image_.superblock.log_slots_max &&
         count * kLogPart <= image_.slots.high_water() &&
         image_.loop.Now() - last_checkpoint_ < kQuickCheckpoint;
}

// A zeroed ring, or an empty run when there is no room for one: then the old one does.
Async<SlotRun> Committer::AllocateRing(uint32_t count) {
  const uint64_t needed = image_.map.checkpoint_slots() + image_.promised_slots + count;
  if (image_.slots.available() < needed) co_return SlotRun{};
  const SlotRun ring = image_.slots.AllocateContiguous(count);
  if (ring.count == 0) co_return SlotRun{};
  const Result<void> zeroed = co_await ZeroRing(ring);
  if (zeroed) co_return ring;
  image_.slots.Free(ring);
  co_return SlotRun{};
}

// Whatever the slots held before must not look like pages of this log. Written, because the first
// write to space that is only allocated makes the host's file system commit metadata of its own at
// the next sync: each flush would pay for that.
Async<void> Committer::ZeroRing(SlotRun ring) {
  AlignedBuffer zeroes(std::min(ring.count, kZeroSlotsMax) * size_t{kSlotBytes});
  FillZero(zeroes.span());
  for (uint64_t slot = ring.first; slot < ring.end(); slot += kZeroSlotsMax) {
    const uint64_t slots = std::min<uint64_t>(kZeroSlotsMax, ring.end() - slot);
    const ConstBytes part = std::as_const(zeroes).span().first(slots * kSlotBytes);
    CO_TRY(co_await image_.file->Write(slot * kSlotBytes, part));
  }
  co_return Result<void>();
}

Async<void> Committer::MoveRing(SlotRun ring) {
  Result<void> done = co_await ZeroRing(ring);
  if (done) {
    const AsyncMutex::Lock commit_lock = co_await commit_mutex_.Acquire();
    const AsyncMutex::Lock checkpoint_lock = co_await checkpoint_mutex_.Acquire();
    done = image_.CheckHealthy();
    CheckpointGoal goal = GoalHere();
    goal.log = ring;
    goal.log_tail.index = 0;
    if (done) done = co_await CheckpointInsteadOfLog(goal);
    // A superblock that names the ring may be on the disk: then it stays out of use.
    if (!done && checkpointer_.superblock_tried()) co_return done;
  }
  if (!done) image_.slots.Free(ring);
  co_return done;
}

}  // namespace mica::native
