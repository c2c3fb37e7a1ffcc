// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/open_image.h"

#include <fmt/format.h>

#include "formats/mica/snapshot_io.h"

namespace mica::native {

namespace {

// What may be lost when the process dies without a flush, and how long replaced slots may wait.
constexpr std::chrono::seconds kTimerPeriod{1};
// What an idle image keeps of its map, beside changes that are not checkpointed.
constexpr size_t kIdleMapBytes = size_t{1} << 20;
// The map of a file of this size is read in a moment.
constexpr uint64_t kQuickWalkSlots = (uint64_t{16} << 30) / kSlotBytes;
constexpr uint64_t kParkedSlotsMax = (uint64_t{256} << 20) / kSlotBytes;

Result<void> CheckOpenable(const Superblock& superblock, bool writable) {
  if (!writable) return {};
  if (superblock.sealed) {
    return Error{Errc::kReadOnly,
                 "the image is sealed: others build on it, so it is never written again; make a "
                 "delta on it with `mica clone`"};
  }
  if (superblock.ro_compat_features != 0) {
    return Error{Errc::kUnsupported,
                 fmt::format("the image has features {:#x} which this build can read but not write",
                             superblock.ro_compat_features)};
  }
  return {};
}

}  // namespace

bool OpenImage::HasBacklog() const noexcept {
  return image.reclaimer.parked_slots() > kParkedSlotsMax ||
         image.pending.PagesMax() > image.log.slots().count / 4;
}

void OpenImage::Tend() {
  if (closing_ || image.poison) return;
  if (HasBacklog() && !committer.flush_running()) Start(&FlushInBackground);
  if (committer.WantsCheckpoint()) Start(&CheckpointInBackground);
  returner.NoteSpare();
  if (space.WantsBackgroundWork()) StartSpaceWork(&KeepSpaceInBackground);
  if (!timer_ && (!image.pending.empty() || committer.WantsConfirm() || returner.HasWork())) {
    timer_.emplace(image.loop, image.loop.Now() + kTimerPeriod, [this] { OnTimer(); });
  }
}

void OpenImage::OnTimer() {
  timer_.reset();
  if (closing_ || image.poison) return;
  surplus_ = returner.TakeSurplus();
  if (!image.pending.empty()) {
    if (surplus_ != 0) StartSpaceWork(&ReturnSpaceInBackground);
    if (!committer.flush_running()) Start(&FlushInBackground);
    return;
  }
  if (committer.WantsConfirm()) Start(&ConfirmInBackground);
  if (returner.HasWork()) {
    surplus_ = space.Spare();
    StartSpaceWork(&ReturnSpaceInBackground);
  }
}

// One at a time.
void OpenImage::StartSpaceWork(Task<void> (*work)(Self)) {
  if (keeping_space_) return;
  keeping_space_ = true;
  Start(work);
}

void OpenImage::Start(Task<void> (*work)(Self)) {
  ++running_;
  image.loop.Spawn(work(shared_from_this()));
}

void OpenImage::Ended() {
  if (--running_ == 0) idle_.NotifyAll();
}

// Errors of background work are not reported here: whoever flushes or writes next meets them.
Task<void> OpenImage::FlushInBackground(Self self) {
  const Result<void> done = co_await self->committer.Flush();
  self->Ended();
  if (done) self->Tend();
}

Task<void> OpenImage::CheckpointInBackground(Self self) {
  const Result<void> done = co_await self->committer.Checkpoint();
  self->Ended();
  if (done) self->Tend();
}

Task<void> OpenImage::KeepSpaceInBackground(Self self) {
  co_await self->space.BackgroundWork();
  self->keeping_space_ = false;
  self->Ended();
}

Task<void> OpenImage::ReturnSpaceInBackground(Self self) {
  const uint64_t spare = self->space.Spare();
  const uint64_t needed = spare - std::min(spare, self->surplus_);
  Result<void> done = co_await self->returner.PunchFreeRuns(needed + self->space.StepSlots());
  if (done) done = co_await self->returner.CutTail(2 * self->space.StepSlots());
  static_cast<void>(done);  // the space is still the image's; nothing depends on it
  self->keeping_space_ = false;
  self->Ended();
}

Task<void> OpenImage::ConfirmInBackground(Self self) {
  const Result<void> done = co_await self->committer.Confirm();
  static_cast<void>(done);
  self->image.map.Trim(kIdleMapBytes);  // nobody has written for a while
  self->Ended();
}

Async<void> OpenImage::Quiesce() {
  Abandon();
  while (running_ > 0) co_await idle_.Wait();
  co_return Result<void>();
}

Async<void> OpenImage::CloseClean(std::optional<std::array<uint8_t, 16>> seal_digest) {
  CO_TRY(co_await Quiesce());
  if (image.reclaimer.parked_slots() >= SpaceReturner::kRunSlotsMin) {
    CO_TRY(co_await committer.Flush());  // they are free then, and the last checkpoint can be low
  }
  CO_TRY(co_await committer.CheckpointClean(seal_digest, nullptr));
  co_return co_await GiveBackIfWorthIt();
}

Async<void> OpenImage::GiveBackIfWorthIt() {
  const bool much = image.slots.freed_total() >= SpaceReturner::kRunSlotsMin;
  if (much || space.has_hidden_again()) co_return co_await GiveBack();
  co_return co_await CutEnd();
}

Async<void> OpenImage::GiveBack() {
  Result<void> given;
  if (image.slots.hidden_end() > kQuickWalkSlots) {
    given = co_await returner.PunchFreeRuns(0);
  } else {
    given = co_await space.Walk();
    if (given) given = co_await returner.PunchAllRuns();
  }
  static_cast<void>(given);  // then some of it stays, for the next who opens the image
  co_return co_await CutEnd();
}

// No superblock expects any of the room beyond.
Async<void> OpenImage::CutEnd() {
  const uint64_t end = SlotOffset(image.superblock.high_water);
  CO_ASSIGN(const uint64_t size, co_await image.file->Size());
  if (size <= end) co_return Result<void>();
  co_return co_await image.file->Resize(end);
}

void OpenImage::Abandon() noexcept {
  closing_ = true;
  timer_.reset();
}

namespace {

Async<SuperblockChoice> ChooseSnapshot(BlockFile& file, std::string path, std::string name) {
  CO_ASSIGN(SuperblockChoice chosen, co_await ReadSuperblock(file));
  CO_TRY(CheckOpenable(chosen.superblock, false));
  CO_ASSIGN(const StoredSnapshotTable stored, co_await ReadSnapshotTable(file, chosen.superblock));
  const SnapshotRecord* const record = stored.table.Find(name);
  if (record == nullptr) co_return NoSuchSnapshot(path, name, stored.table);
  CO_ASSIGN(chosen.superblock, co_await SuperblockOfSnapshot(file, chosen.superblock, *record));
  chosen.superblock.sealed = false;
  co_return chosen;
}

}  // namespace

Async<std::shared_ptr<OpenImage>> OpenMicaSnapshot(Host& host, std::filesystem::path path,
                                                   OpenOptions options, std::string name) {
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  Result<SuperblockChoice> chosen = co_await ChooseSnapshot(*file, path.string(), name);
  if (!chosen && chosen.error().code == Errc::kCorrupt && options.lock == FileLock::kNone) {
    // A new table may have been put in the place of the one we were about to read.
    chosen = co_await ChooseSnapshot(*file, path.string(), name);
  }
  if (!chosen && chosen.error().code == Errc::kNotFound) co_return chosen.error();
  if (!chosen) co_return std::move(chosen).error().WithContext(path.string());
  CO_ASSIGN(const uint64_t size, co_await file->Size());
  co_return std::make_shared<OpenImage>(host.loop(), path, std::move(file), *chosen,
                                        size / kSlotBytes);
}

Async<std::shared_ptr<OpenImage>> OpenMicaFile(Host& host, std::filesystem::path path,
                                               OpenOptions options, LogDamage* salvage) {
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  co_return co_await OpenMicaImage(host.loop(), std::move(path), std::move(file), options, salvage);
}

Async<std::shared_ptr<OpenImage>> OpenMicaImage(EventLoop& loop, std::filesystem::path path,
                                                std::unique_ptr<BlockFile> file,
                                                OpenOptions options, LogDamage* salvage) {
  Result<SuperblockChoice> chosen = co_await ReadSuperblock(*file);
  if (!chosen) co_return std::move(chosen).error().WithContext(path.string());
  Result<void> openable = CheckOpenable(chosen->superblock, options.writable);
  if (!openable) co_return std::move(openable).error().WithContext(path.string());
  CO_ASSIGN(const uint64_t size, co_await file->Size());
  const uint64_t granted_end = size / kSlotBytes;
  const Slot needed = options.writable ? chosen->superblock.high_water
                                       : static_cast<Slot>(chosen->superblock.log.end());
  if (granted_end < needed) {
    co_return Error{Errc::kCorrupt,
                    fmt::format("{}: truncated: {} bytes long, expected at least {}", path.string(),
                                size, uint64_t{needed} * kSlotBytes)};
  }
  auto open = std::make_shared<OpenImage>(loop, path, std::move(file), *chosen, granted_end);
  if (chosen->superblock.clean) co_return open;
  const ReplayMode mode = options.writable ? ReplayMode::kRecover : ReplayMode::kLook;
  Result<ReplayOutcome> replayed = co_await ReplayLog(open->image, mode, salvage);
  if (!replayed) co_return std::move(replayed).error().WithContext(path.string());
  if (options.writable && replayed->pages_seen > 0) {
    // Before a slot that was given up is used for anything else: after a crash of the process
    // alone, what the replay has found may not be on the disk yet.
    CO_TRY(co_await open->image.Sync());
    CO_TRY(co_await open->committer.CheckpointRecovered(replayed->next_sequence));
  }
  co_return open;
}

}  // namespace mica::native
