// SPDX-License-Identifier: Apache-2.0
// Snapshots and sizes in the random workload, and what is left of them.
#include <fmt/format.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"
#include "tests/crash/mica_workload.h"

namespace mica::testing {

namespace {

constexpr uint64_t kBlock = DiskModel::kBlockBytes;
constexpr size_t kSnapshotsMax = 3;

using Blocks = std::map<uint64_t, std::vector<std::byte>>;

Result<Blocks> ReadBlocks(EventLoop& loop, ImageChain& chain, const DiskModel& model) {
  Blocks blocks;
  for (const ByteRange& extent : model.extents()) {
    ASSIGN(const std::vector<std::byte> data, ReadOrZero(loop, chain, extent));
    for (uint64_t at = 0; at < data.size(); at += kBlock) {
      const auto begin = data.begin() + static_cast<ptrdiff_t>(at);
      const auto length = static_cast<ptrdiff_t>(std::min<uint64_t>(kBlock, data.size() - at));
      blocks[(extent.offset + at) / kBlock].assign(begin, begin + length);
    }
  }
  return blocks;
}

// What differs must be said to have changed.
std::string CompareWithChanges(EventLoop& loop, ImageChain& head, const SnapshotInfo& snapshot,
                               const Blocks& now, const Blocks& then) {
  SnapshotControl& control = *head.layer(0).controls().snapshots;
  const auto changed =
      SyncWait(loop, control.ChangedSince(snapshot.epoch, ByteRange{0, head.info().size}));
  if (!changed) {
    // The snapshot is of a time that was undone; to say so is right.
    return changed.error().code == Errc::kMismatch ? "" : "changes: " + changed.error().message;
  }
  for (const auto& [block, content] : now) {
    const ByteRange range{block * kBlock, content.size()};
    const bool named = std::ranges::any_of(
        *changed, [&](const ByteRange& part) { return !Intersect(part, range).empty(); });
    const bool inside = range.offset < head.info().size;
    if (inside && !named && content != then.at(block)) {
      return fmt::format("block {} has changed since '{}' and nobody says so", block,
                         snapshot.name);
    }
  }
  return {};
}

std::string VerifyOne(MemoryHost& host, const SnapshotInfo& info, const DiskModel& model,
                      const SnapshotModel& snapshots, Blocks& blocks) {
  if (!snapshots.all().contains(info.name)) return "a deleted snapshot is back: " + info.name;
  OpenChainOptions options;
  options.snapshot = info.name;
  options.without_locks = true;
  const auto view = SyncWait(host.loop(), OpenChain(host, "/d", options));
  if (!view) return "snapshot: " + view.error().message;
  Result<Blocks> read = ReadBlocks(host.loop(), **view, model);
  if (!read) return "snapshot: " + read.error().message;
  blocks = *std::move(read);
  for (const auto& [block, content] : blocks) {
    if (snapshots.Accepts(model, info.name, block, content)) continue;
    return fmt::format("block {} of snapshot '{}' is not what was kept{}", block, info.name,
                       IsZero(content) ? " (zeroes)" : "");
  }
  return {};
}

std::string VerifySnapshots(MemoryHost& host, const DiskModel& model,
                            const SnapshotModel& snapshots) {
  OpenChainOptions options;
  options.without_locks = true;
  const auto head = SyncWait(host.loop(), OpenChain(host, "/d", options));
  if (!head) return "open: " + head.error().message;
  const auto infos = SyncWait(host.loop(), (*head)->layer(0).controls().snapshots->List());
  if (!infos) return "list: " + infos.error().message;
  for (const auto& [name, kept] : snapshots.all()) {
    const bool found = std::ranges::find(*infos, name, &SnapshotInfo::name) != infos->end();
    if (kept.certain && !found) return "a snapshot is gone: " + name;
  }
  if (infos->empty()) return {};
  const Result<Blocks> now = ReadBlocks(host.loop(), **head, model);
  if (!now) return "read: " + now.error().message;
  for (const SnapshotInfo& info : *infos) {
    Blocks then;
    std::string wrong = VerifyOne(host, info, model, snapshots, then);
    if (wrong.empty()) wrong = CompareWithChanges(host.loop(), **head, info, *now, then);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace

std::string VerifyWithSnapshots(MemoryHost& host, const DiskModel& model,
                                const SnapshotModel& snapshots, bool writable) {
  // Before and after the recovery of a writable opening.
  std::string wrong = VerifySnapshots(host, model, snapshots);
  if (wrong.empty()) wrong = VerifyImage(host, model, writable);
  if (wrong.empty() && writable) wrong = VerifySnapshots(host, model, snapshots);
  return wrong;
}

SnapshotControl& Workload::Control() {
  return *chain_->layer(0).controls().snapshots;
}

void Workload::NoteUnlessExpected(const Result<void>& done, const char* what) {
  if (!done && !errors_expected_) Note(fmt::format("{}: {}", what, done.error().message));
}

std::string Workload::PickSnapshot(Prng& prng) const {
  std::vector<std::string> idle;
  for (const auto& [name, kept] : snapshots_.all()) {
    if (kept.certain && !kept.busy) idle.push_back(name);
  }
  return idle.empty() ? std::string() : idle[prng.Below(idle.size())];
}

Async<void> Workload::ChangeSnapshots(Prng& prng) {
  if (prng.OneIn(4)) co_return co_await Compact();
  const bool full = snapshots_.all().size() >= kSnapshotsMax;
  if (!full && !prng.OneIn(3)) co_return co_await MakeSnapshot();
  const std::string name = PickSnapshot(prng);
  if (name.empty()) co_return Result<void>();
  co_return co_await DeleteSnapshot(name);
}

Async<void> Workload::MakeSnapshot() {
  const std::string name = fmt::format("s{}", ++snapshots_made_);
  const DiskModel::Snapshot covered = model_.Completed();
  snapshots_.BeginCreate(name, model_);
  const Result<SnapshotInfo> made = co_await Control().Create(name);
  snapshots_.EndCreate(name, model_, made.has_value());
  if (!made) co_return made.error();
  model_.Covered(covered);
  co_return Result<void>();
}

Async<void> Workload::DeleteSnapshot(std::string name) {
  snapshots_.BeginDelete(name);
  const Result<void> done = co_await Control().Delete(name);
  snapshots_.EndDelete(name, done.has_value());
  co_return done;
}

Async<void> Workload::Compact() {
  const std::function<void(const CompactProgress&)> no_progress;
  SpaceControl& control = *chain_->layer(0).controls().space;
  CO_ASSIGN(const CompactReport report, co_await control.Compact(no_progress));
  compacted_bytes_ += report.moved_bytes;
  co_return Result<void>();
}

// After opening: what is there now has been made durable, or was.
void Workload::ResolveSnapshots() {
  if (!options_.snapshots) return;
  const auto infos = SyncWait(loop_, Control().List());
  if (!infos) {
    if (!errors_expected_) Note("list: " + infos.error().message);
    return;
  }
  std::vector<std::string> names;
  for (const SnapshotInfo& info : *infos) {
    names.push_back(info.name);
    if (!snapshots_.all().contains(info.name)) Note("a deleted snapshot is back: " + info.name);
  }
  for (const auto& [name, kept] : snapshots_.all()) {
    const bool found = std::ranges::find(names, name) != names.end();
    if (kept.certain && !found) Note("a snapshot is gone: " + name);
  }
  snapshots_.Resolve(names);
}

// Nobody writes: the disk becomes another one and is closed.
void Workload::ReplaceDisk(Prng& prng) {
  if (prng.OneIn(2)) {
    Revert(prng);
  } else {
    Shrink(prng);
  }
  const Result<void> closed = SyncWait(loop_, chain_->Close());
  NoteUnlessExpected(closed, "close");
  Abandon();
}

void Workload::Revert(Prng& prng) {
  const std::string name = PickSnapshot(prng);
  if (name.empty()) return;
  const SnapshotModel::Kept kept = snapshots_.all().at(name);
  model_.BeginRevert(kept.from, kept.to.value_or(kept.from));
  const Result<void> done = SyncWait(loop_, Control().Revert(name));
  NoteUnlessExpected(done, "revert");
  if (done) model_.CompleteRevert();
}

// Cuts off the hot extents beyond a random block.
void Workload::Shrink(Prng& prng) {
  const std::vector<ByteRange>& extents = model_.extents();
  const ByteRange first = extents[prng.Below(extents.size())];
  const uint64_t size = AlignDown(first.offset + prng.Below(first.length), kBlock);
  const DiskModel::Snapshot covered = model_.Completed();
  for (const ByteRange& extent : extents) {
    const ByteRange beyond = Intersect(extent, RangeBetween(size, kDiskBytes));
    if (!beyond.empty()) model_.BeginZero(beyond);
  }
  const Result<void> done = SyncWait(loop_, Control().Shrink(size));
  NoteUnlessExpected(done, "shrink");
  if (!done) return;
  model_.Covered(covered);
  for (const ByteRange& extent : extents) {
    const ByteRange beyond = Intersect(extent, RangeBetween(size, kDiskBytes));
    if (beyond.empty()) continue;
    model_.Complete(beyond);
    model_.Covered(model_.CompletedIn(beyond));
  }
}

// The disk has its size again, or more. False when it could not be had.
bool Workload::MakeWhole() {
  const uint64_t size = chain_->info().size;
  const bool grow = size < kDiskBytes || host_->faults().calls_made() % 3 == 0;
  if (!grow) return true;
  const uint64_t blocks = DivideRoundUp(std::max(size, kDiskBytes), kBlock) + 1;
  if (Grow(blocks)) return true;
  Abandon();
  return false;
}

bool Workload::Grow(uint64_t blocks) {
  Result<void> done = chain_->info().size % kBlock == 0 ? Result<void>() : WriteLastBlock();
  if (done) done = SyncWait(loop_, Control().Grow(blocks * kBlock));
  NoteUnlessExpected(done, "grow");
  const Result<void> closed = SyncWait(loop_, chain_->Close());
  NoteUnlessExpected(closed, "close");
  Abandon();
  if (!done) return false;
  Result<std::unique_ptr<ImageChain>> chain = OpenToWrite(*host_);
  if (!chain) return false;
  chain_ = *std::move(chain);
  return true;
}

// A short last block must be the disk's own before the disk can grow. Its content stays.
Result<void> Workload::WriteLastBlock() {
  const uint64_t begin = AlignDown(chain_->info().size, kBlock);
  std::vector<std::byte> data(chain_->info().size - begin);
  TRY(SyncWait(loop_, chain_->Read(begin, data)));
  return SyncWait(loop_, chain_->Write(begin, data, Durability::kForced));
}

}  // namespace mica::testing
