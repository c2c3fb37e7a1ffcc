// SPDX-License-Identifier: Apache-2.0
// MicaSnapshots: listing, making, deleting and going back. Sizes are in mica_snapshots_resize.cc,
// changed blocks in mica_snapshots_changed.cc.
#include "formats/mica/mica_snapshots.h"

#include <fmt/format.h>

#include <chrono>

#include "formats/mica/snapshot_changes.h"

namespace mica::native {

namespace {

// What a snapshot leaves for rewrites and trims of a full image.
constexpr uint64_t kSpareSlots = (uint64_t{1} << 20) / kSlotBytes;

SnapshotInfo InfoOf(const SnapshotRecord& record) {
  SnapshotInfo info;
  info.id = record.id;
  info.name = record.name;
  info.created = record.created;
  info.virtual_size = record.virtual_size;
  info.epoch = record.epoch;
  return info;
}

uint64_t SecondsNow() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

}  // namespace

Result<void> MicaSnapshots::CheckWritable() const {
  if (!info_.writable) return Error{Errc::kReadOnly, info_.path + ": open read-only"};
  return image_.CheckHealthy();
}

Async<StoredSnapshotTable> MicaSnapshots::ReadTable() {
  Result<StoredSnapshotTable> stored = co_await ReadSnapshotTable(*image_.file, image_.superblock);
  if (!stored) co_return std::move(stored).error().WithContext(info_.path);
  co_return stored;
}

// Slots that wait for a barrier, or are set aside for a checkpoint, are recycled before this fails.
Async<void> MicaSnapshots::MakeRoom(uint64_t slots) {
  Result<void> room = co_await open_.space.Ensure(slots, SpaceUse::kReplace);
  if (room || room.error().code != Errc::kNoSpace) co_return room;
  CO_TRY(co_await open_.committer.Flush());
  CO_TRY(co_await open_.committer.Checkpoint());
  co_return co_await open_.space.Ensure(slots, SpaceUse::kReplace);
}

Async<std::vector<SnapshotInfo>> MicaSnapshots::List() {
  const AsyncMutex::Lock lock = co_await mutex_.Acquire();
  CO_ASSIGN(const StoredSnapshotTable stored, co_await ReadTable());
  std::vector<SnapshotInfo> infos;
  for (const SnapshotRecord& record : stored.table.records) infos.push_back(InfoOf(record));
  co_return infos;
}

Result<void> MicaSnapshots::CheckNew(const std::string& name, const SnapshotTable& table) const {
  if (table.Find(name) != nullptr) {
    return Error{Errc::kExists,
                 fmt::format("{}: there is a snapshot '{}' already", info_.path, name)};
  }
  if (table.records.size() < kSnapshotsMax) return {};
  return Error{Errc::kLimit, fmt::format("{}: has {} snapshots, which is all it can have; delete "
                                         "some of them first",
                                         info_.path, kSnapshotsMax)};
}

Async<SnapshotInfo> MicaSnapshots::Create(std::string name) {
  CO_TRY(CheckWritable());
  if (!IsSnapshotName(name)) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("a snapshot's name is 1 to {} bytes of UTF-8 without control "
                                "characters and '/'",
                                kSnapshotNameMax)};
  }
  const AsyncMutex::Lock lock = co_await mutex_.Acquire();
  CO_ASSIGN(const StoredSnapshotTable stored, co_await ReadTable());
  SnapshotTable table = stored.table;
  CO_TRY(CheckNew(name, table));
  SnapshotRecord record;
  record.id = table.next_id++;
  record.name = std::move(name);
  record.created = SecondsNow();
  table.records.push_back(std::move(record));
  CO_TRY(co_await MakeRoom(SnapshotCreation::SlotsFor(table) + kSpareSlots));
  SnapshotCreation creation(image_, stored, std::move(table));
  const Result<void> done = co_await open_.committer.CheckpointWith(creation);
  if (!done) {
    creation.Failed();
    co_return done.error();
  }
  creation.Succeeded();
  open_.Tend();
  co_return InfoOf(creation.record());
}

Result<const SnapshotRecord*> MicaSnapshots::FindRecord(const StoredSnapshotTable& stored,
                                                        const std::string& name) const {
  if (const SnapshotRecord* const record = stored.table.Find(name)) return record;
  return NoSuchSnapshot(info_.path, name, stored.table);
}

Async<void> MicaSnapshots::Delete(std::string name) {
  CO_TRY(CheckWritable());
  const AsyncMutex::Lock lock = co_await mutex_.Acquire();
  CO_ASSIGN(const StoredSnapshotTable stored, co_await ReadTable());
  CO_ASSIGN(const SnapshotRecord* const record, FindRecord(stored, name));
  SnapshotTable table = stored.table;
  std::erase_if(table.records, [record](const SnapshotRecord& r) { return r.id == record->id; });
  CO_TRY(co_await MakeRoom(TableChange::SlotsFor(table)));
  TableChange change(image_, stored, std::move(table));
  change.Replaces(record->roots_slot);
  // After a failure the new table may be on disk: its slots stay out of use until the next opening.
  CO_TRY(co_await open_.committer.PublishChange(change));
  bool reads_ended = false;
  WaitList waiting(image_.loop);
  change.Succeeded([&] {
    reads_ended = true;
    waiting.NotifyAll();
  });
  while (!reads_ended) co_await waiting.Wait();
  co_return co_await open_.space.Rehide();
}

Async<void> MicaSnapshots::Revert(std::string name) {
  CO_TRY(CheckWritable());
  const AsyncMutex::Lock lock = co_await mutex_.Acquire();
  CO_ASSIGN(const StoredSnapshotTable stored, co_await ReadTable());
  CO_ASSIGN(const SnapshotRecord* const record, FindRecord(stored, name));
  Result<Superblock> snapshot =
      co_await SuperblockOfSnapshot(*image_.file, image_.superblock, *record);
  if (!snapshot) co_return std::move(snapshot).error().WithContext(info_.path);
  CO_TRY(co_await open_.Quiesce());
  Reversion reversion(*snapshot, record->epoch);
  co_return co_await open_.committer.PublishReplacement(reversion);
}

}  // namespace mica::native
