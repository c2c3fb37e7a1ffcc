// SPDX-License-Identifier: Apache-2.0
// ChainModel: what changes the chain under the disk. The guest's content stays, or becomes that of
// the state it goes back to.
#include <fmt/format.h>

#include "engine/async/when_all.h"
#include "engine/jobs/flatten.h"
#include "engine/jobs/reparent.h"
#include "engine/snapshot_control.h"
#include "engine/space_control.h"
#include "formats/open_commit.h"
#include "formats/registry.h"
#include "tests/model/chain_model.h"

namespace mica::testing {

namespace {

Async<void> CompactOnce(SpaceControl& control) {
  const std::function<void(const CompactProgress&)> no_progress;
  CO_TRY(co_await control.Compact(no_progress));
  co_return Result<void>();
}

}  // namespace

// Closed cleanly, or abandoned after a flush as by a process that is killed.
Async<void> ChainModel::Reopen() {
  doing_ = "reopen";
  if (prng_.OneIn(2)) {
    CO_TRY(co_await CloseDisk());
  } else {
    CO_TRY(co_await chain_->Flush());
    chain_.reset();
    // This coroutine is one of them.
    while (host_.loop().spawned_tasks() > 1) co_await host_.loop().Yield();
  }
  CO_ASSIGN(const ImageFormat* const format, FindFormat("mica"));
  const std::filesystem::path path = Path(disk_);
  CO_ASSIGN(const CheckReport report,
            co_await format->Check(host_, path, CheckScope::kMetadataAndData));
  if (report.corruptions > 0) co_return Wrong("check: " + report.findings.front().what);
  CO_TRY(co_await OpenDisk());
  co_return co_await CheckAll();
}

Async<void> ChainModel::DoFlatten() {
  if (!has_parent_) co_return Result<void>();
  doing_ = "flatten";
  const ChainJobOptions options;
  const Result<ChainJobTotals> done = co_await Flatten(host_.loop(), *chain_, options);
  if (!done) co_return Refused(done.error());
  has_parent_ = false;
  co_return co_await Reopen();
}

Async<void> ChainModel::DoReparent() {
  const Master& master = masters_[prng_.Below(masters_.size())];
  doing_ = "reparent to " + master.name;
  CO_ASSIGN(const std::unique_ptr<ImageChain> parent,
            co_await Open(master.name, master.reference.format, false));
  const NewParent target{*parent, master.reference};
  const ChainJobOptions options;
  const Result<ChainJobTotals> done = co_await Reparent(host_.loop(), *chain_, target, options);
  CO_TRY(co_await parent->Close());
  if (!done) co_return Refused(done.error());
  has_parent_ = true;
  co_return co_await Reopen();
}

Async<void> ChainModel::CommitFile(std::filesystem::path path) {
  CO_ASSIGN(OpenedCommit opened, co_await OpenForCommit(host_, path, JobMode::kDo));
  const CommitImages images = opened.images();
  const ChainJobOptions options;
  CO_TRY(co_await Commit(host_.loop(), images, options));
  co_return co_await CloseCommit(opened);
}

// A delta over the disk that is written to and then folded into it, or thrown away.
Async<void> ChainModel::TryOut() {
  doing_ = "try out";
  CO_TRY(co_await CloseDisk());
  const Content before = reference_;
  ParentReference parent;
  parent.path = disk_;
  parent.format = "mica";
  const std::string below = disk_;
  disk_ = fmt::format("try{}", round_);
  CO_TRY(co_await MakeDelta(disk_, parent, reference_.size()));
  CO_TRY(co_await OpenDisk());
  for (uint64_t i = 2 + prng_.Below(10); i > 0; --i) CO_TRY(co_await Batch());
  CO_TRY(co_await CloseDisk());
  const std::filesystem::path path = Path(disk_);
  if (prng_.OneIn(3)) {
    reference_ = before;
  } else {
    doing_ = "commit";
    CO_TRY(co_await CommitFile(path));
    CO_TRY(co_await OpenDisk());
    CO_TRY(co_await CheckAll());
    CO_TRY(co_await CloseDisk());
  }
  disk_ = below;
  CO_TRY(co_await host_.Remove(path));
  CO_TRY(co_await OpenDisk());
  co_return co_await CheckAll();
}

// The only reason there is.
Result<void> ChainModel::Refused(const Error& error) const {
  if (error.code == Errc::kUnsupported && !snapshots_.empty()) return {};
  return error;
}

Async<void> ChainModel::Resize() {
  const uint64_t size = reference_.size();
  const uint64_t wanted = (1 + prng_.Below(2 * size / 4096)) * 4096;
  doing_ = fmt::format("resize from {} to {}", size, wanted);
  if (chain_->layer(0).controls().snapshots == nullptr) co_return Wrong("no snapshot control");
  SnapshotControl& control = *chain_->layer(0).controls().snapshots;
  if (wanted < size) {
    CO_TRY(co_await control.Shrink(wanted));
  } else {
    // The last block becomes the head's own.
    const uint64_t last = AlignDown(size - 1, 4096);
    const ConstBytes block = ConstBytes(reference_).subspan(last);
    CO_TRY(co_await chain_->Write(last, block, Durability::kVolatile));
    CO_TRY(co_await control.Grow(wanted));
  }
  CO_TRY(co_await CloseDisk());
  reference_.resize(wanted);
  CO_TRY(co_await OpenDisk());
  co_return co_await CheckAll();
}

// Creates one, goes back to one, or deletes one.
Async<void> ChainModel::UseSnapshots() {
  SnapshotControl& control = *chain_->layer(0).controls().snapshots;
  if (snapshots_.empty() || (snapshots_.size() < 3 && prng_.OneIn(3))) {
    const std::string name = fmt::format("s{}", round_);
    doing_ = "create snapshot " + name;
    CO_TRY(co_await control.Create(name));
    snapshots_[name] = reference_;
    co_return Result<void>();
  }
  auto chosen = snapshots_.begin();
  std::advance(chosen, prng_.Below(snapshots_.size()));
  if (prng_.OneIn(2)) {
    doing_ = "delete snapshot " + chosen->first;
    CO_TRY(co_await control.Delete(chosen->first));
    snapshots_.erase(chosen);
    co_return co_await Reopen();
  }
  doing_ = "revert to snapshot " + chosen->first;
  CO_TRY(co_await control.Revert(chosen->first));
  CO_TRY(co_await CloseDisk());
  reference_ = chosen->second;
  CO_TRY(co_await OpenDisk());
  co_return co_await CheckAll();
}

// While the guest goes on.
Async<void> ChainModel::Compact() {
  doing_ = "compact";
  SpaceControl& control = *chain_->layer(0).controls().space;
  std::vector<Async<void>> both;
  both.push_back(CompactOnce(control));
  both.push_back(Batch());
  CO_TRY(co_await WhenAll(host_.loop(), std::move(both)));
  co_return co_await CheckAll();
}

Async<void> ChainModel::Compare() {
  doing_ = "compare";
  co_return co_await CheckAll();
}

}  // namespace mica::testing
