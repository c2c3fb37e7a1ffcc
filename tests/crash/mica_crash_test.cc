// SPDX-License-Identifier: Apache-2.0
// Power cuts at every host write of random workloads. After each change that reaches the host, the
// disk is cut in several ways (all unsynced changes kept, lost, in order and torn, torn and
// reordered by sector, reordered whole); the image is opened on what is left, every block is
// compared with what the guest may find, and the image is checked.
//
// A failure prints its seed and cut. MICA_CRASH_SEED=N repeats one seed, MICA_CRASH_CUT=K with it
// only that cut; MICA_CRASH_SEEDS=N runs more seeds than usual.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"
#include "tests/crash/mica_workload.h"

namespace mica::testing {
namespace {

constexpr uint64_t kAll = UINT64_MAX;

// Ten times slower, and the other builds make the rest: one cut in so many, the same ones for a
// seed, of all kinds.
#if defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kCutStride = 7;
constexpr uint64_t kCutsPerTest = 500;
#else
constexpr uint64_t kCutStride = 1;
constexpr uint64_t kCutsPerTest = 26'000;
#endif

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

uint64_t cuts_made = 0;
uint64_t compacted_bytes = 0;

// Cuts the power at every change of one workload.
class Cutter {
 public:
  Cutter(Workload& workload, uint64_t seed) : workload_(workload), prng_(seed), seed_(seed) {}

  void OnChange(const HostCall& call) {
    constexpr uint32_t kCutsPerChange = 3;
    for (uint32_t i = 0; i < kCutsPerChange; ++i) {
      const PowerCutPolicy policy = PowerCutPolicy::FromSeed(prng_.Next());
      const uint64_t choices = prng_.Next();
      const uint64_t cut = cut_++;
      if (!failure_.empty() || !IsWanted(cut)) continue;
      Cut(policy, choices);
      if (failure_.empty()) continue;
      failure_ = fmt::format(
          "seed {} cut {} (after {} of {} bytes at {}, policy {} {}): {}; to repeat: "
          "MICA_CRASH_SEED={} MICA_CRASH_CUT={}",
          seed_, cut, HostCallName(call.kind), call.range.length, call.range.offset,
          static_cast<int>(policy.kind), policy.seed, failure_, seed_, cut);
    }
  }
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

 private:
  [[nodiscard]] bool IsWanted(uint64_t cut) const noexcept {
    return only_ == kAll ? (cut + seed_) % kCutStride == 0 : cut == only_;
  }

  void Cut(PowerCutPolicy policy, uint64_t choices) {
    ++cuts_made;
    MemoryLoop loop;
    MemoryHost host(loop, {}, workload_.host().disk().AfterPowerCut(policy));
    Prng prng(choices);
    if (prng.OneIn(8)) return CutDuringRecovery(host, prng);
    failure_ = VerifyWithSnapshots(host, workload_.model(), workload_.snapshots(), prng.OneIn(2));
    if (failure_.empty() && prng.OneIn(8)) GoOn(loop, host, prng);
  }

  // A second cut while the first one is being recovered from.
  void CutDuringRecovery(MemoryHost& host, Prng& prng) {
    uint64_t changes = 0;
    const uint64_t at = 1 + prng.Below(12);
    std::string inner;
    host.faults().SetChangeHook([&](const HostCall&) {
      if (++changes != at) return;
      ++cuts_made;
      MemoryLoop loop;
      MemoryHost second(loop, {}, host.disk().AfterPowerCut(PowerCutPolicy::FromSeed(prng.Next())));
      inner = VerifyWithSnapshots(second, workload_.model(), workload_.snapshots(), true);
    });
    failure_ = VerifyWithSnapshots(host, workload_.model(), workload_.snapshots(), true);
    if (failure_.empty() && !inner.empty()) failure_ = "second cut: " + inner;
  }

  // Life goes on after the recovery: new data must not land on old.
  void GoOn(MemoryLoop& loop, MemoryHost& host, Prng& prng) {
    DiskModel model = workload_.model();
    OpenChainOptions options;
    options.writable = true;
    auto opened = SyncWait(loop, OpenChain(host, "/d", options));
    if (!opened) {
      failure_ = "going on: " + opened.error().message;
      return;
    }
    std::unique_ptr<ImageChain> chain = *std::move(opened);
    // What the cut has left is what counts from here on; opening has made it durable.
    for (const ByteRange& extent : model.extents()) {
      for (uint64_t at = extent.offset; at < extent.end(); at += DiskModel::kBlockBytes) {
        std::vector<std::byte> data(std::min(DiskModel::kBlockBytes, extent.end() - at));
        if (!SyncWait(loop, chain->Read(at, data))) return;
        model.Resolve(at / DiskModel::kBlockBytes, data, true);
      }
    }
    for (uint32_t i = 0; i < 12; ++i) {
      const ByteRange extent = model.extents()[prng.Below(model.extents().size())];
      const uint64_t length = std::min<uint64_t>(extent.length, (1 + prng.Below(6)) * 4096);
      std::vector<std::byte> data(length, static_cast<std::byte>(prng.Next()));
      if (!SyncWait(loop, chain->Write(extent.offset, data, Durability::kVolatile))) return;
      model.BeginWrite(extent.offset, data);
      model.Complete({extent.offset, length});
      if (!prng.OneIn(3)) continue;
      const DiskModel::Snapshot snapshot = model.Completed();
      if (SyncWait(loop, chain->Flush())) model.Covered(snapshot);
    }
    chain.reset();
    loop.RunUntil([&loop] { return loop.spawned_tasks() == 0; });
    MemoryHost second(loop, {}, host.disk().AfterPowerCut(PowerCutPolicy::FromSeed(prng.Next())));
    failure_ = VerifyWithSnapshots(second, model, workload_.snapshots(), true);
    if (!failure_.empty()) failure_ = "going on, second cut: " + failure_;
  }

  Workload& workload_;
  Prng prng_;
  const uint64_t seed_;
  const uint64_t only_ = FromEnvironment("MICA_CRASH_CUT", kAll);
  uint64_t cut_ = 0;
  std::string failure_;
};

class MicaCrash : public ::testing::TestWithParam<ParentKind> {
 protected:
  // Runs seeds until `cuts` cuts were made.
  void Run(uint64_t cuts, WorkloadOptions options, bool errors_expected) {
    const uint64_t only = FromEnvironment("MICA_CRASH_SEED", kAll);
    const uint64_t first = only == kAll ? 1 : only;
    const uint64_t end_cuts = cuts_made + cuts * FromEnvironment("MICA_CRASH_TIMES", 1);
    for (uint64_t seed = first; only == kAll ? cuts_made < end_cuts : seed == only; ++seed) {
      options.seed = seed;
      Workload workload(options);
      workload.Create();
      Cutter cutter(workload, seed);
      workload.host().faults().SetChangeHook([&](const HostCall& call) { cutter.OnChange(call); });
      workload.Run(errors_expected);
      workload.host().faults().SetChangeHook({});
      ASSERT_EQ(cutter.failure(), "");
      ASSERT_EQ(workload.failure(), "") << "seed " << seed;
      workload.host().disk().SetSpaceLimit(UINT64_MAX);
      workload.RunToCleanEnd();
      ASSERT_EQ(workload.failure(), "") << "seed " << seed;
      compacted_bytes += workload.compacted_bytes();
    }
    fmt::print("{} cuts so far\n", cuts_made);
  }
};

TEST_P(MicaCrash, FlushedDataSurvivesAPowerCutAtEveryHostWrite) {
  WorkloadOptions options;
  options.parent = GetParam();
  Run(kCutsPerTest, options, false);
}

INSTANTIATE_TEST_SUITE_P(Parents, MicaCrash,
                         ::testing::Values(ParentKind::kNone, ParentKind::kSealedRaw,
                                           ParentKind::kSealedMica));

using MicaCrashSnapshots = MicaCrash;

TEST_P(MicaCrashSnapshots, SnapshotsSurviveAPowerCutAtEveryHostWrite) {
  WorkloadOptions options;
  options.parent = GetParam();
  options.phases = 6;
  options.snapshots = true;
  Run(kCutsPerTest / 4, options, false);
  fmt::print("{} bytes moved by compacting\n", compacted_bytes);
}

INSTANTIATE_TEST_SUITE_P(Parents, MicaCrashSnapshots,
                         ::testing::Values(ParentKind::kNone, ParentKind::kSealedMica));

using MicaCrashFull = MicaCrash;

TEST_P(MicaCrashFull, AFullDiskIsNoException) {
  WorkloadOptions options;
  options.parent = GetParam();
  options.space_limit =
      420 * 4096;  // 256 of them are kept for rewrites; less than the workload writes
  Run(kCutsPerTest, options, true);
}

INSTANTIATE_TEST_SUITE_P(Parents, MicaCrashFull, ::testing::Values(ParentKind::kNone));

}  // namespace
}  // namespace mica::testing
