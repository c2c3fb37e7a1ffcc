// SPDX-License-Identifier: Apache-2.0
// The n-th host call fails, for every n, while an image is compacted, gets a quota, is trimmed,
// gives its space back and is closed. Whatever the outcome, and after a power cut on top, nothing
// that the guest did not trim is lost, and the image checks clean and opens writable.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "engine/async/sync_wait.h"
#include "engine/space_control.h"
#include "formats/mica/mica_format.h"
#include "formats/open_chain.h"
#include "tests/crash/mica_workload.h"

namespace mica::testing {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kDiskBytes = 6 * kMiB;
constexpr uint64_t kPiece = 64 * 1024;

struct FaultKind {
  const char* name;
  Fault fault;
  bool for_good;  // every later call fails too
  uint64_t delay_turns;
};

constexpr FaultKind kKinds[] = {
    {"EIO", {.sys_errno = EIO}, false, 0},
    {"ENOSPC", {.sys_errno = ENOSPC}, false, 0},
    {"short, then EIO", {.sys_errno = EIO, .partial_bytes = 4096}, false, 0},
    {"dead disk", {.sys_errno = EIO}, true, 0},
    {"EIO, late", {.sys_errno = EIO}, false, 4},
};

std::unique_ptr<ImageChain> Open(MemoryHost& host) {
  OpenChainOptions options;
  options.writable = true;
  auto chain = SyncWait(host.loop(), OpenChain(host, "/d", options));
  return chain ? *std::move(chain) : nullptr;
}

Async<void> Pause(EventLoop& loop) {
  co_await loop.SleepUntil(loop.Now() + std::chrono::seconds(4));
  co_return Result<void>();
}

// Closed; half of its first 4 MiB is scattered free slots, the last 2 MiB are whole.
void Make(MemoryHost& host, DiskModel& model) {
  const MicaFormat format;
  CreateOptions options;
  options.virtual_size = kDiskBytes;
  options.extra["log_size"] = "65536";
  ASSERT_TRUE(SyncWait(host.loop(), format.Create(host, "/d", options)));
  ASSERT_TRUE(SyncWait(host.loop(), host.SyncDirectory("/")));
  const auto chain = Open(host);
  for (uint64_t at = 0; at < kDiskBytes; at += kPiece) {
    const std::vector<std::byte> data(kPiece, static_cast<std::byte>(1 + at / kPiece));
    ASSERT_TRUE(SyncWait(host.loop(), chain->Write(at, data, Durability::kVolatile)));
    model.BeginWrite(at, data);
    model.Complete({at, kPiece});
  }
  for (uint64_t at = 0; at < 4 * kMiB; at += 2 * kPiece) {
    ASSERT_TRUE(SyncWait(host.loop(), chain->Discard({at, kPiece}, Durability::kVolatile)));
    model.BeginZero({at, kPiece});
    model.Complete({at, kPiece});
  }
  ASSERT_TRUE(SyncWait(host.loop(), chain->Close()));
  model.Covered(model.Completed());
}

// Errors are for the caller of each to see; here only what they leave behind counts.
void Work(MemoryHost& host, DiskModel& model) {
  EventLoop& loop = host.loop();
  std::unique_ptr<ImageChain> chain = Open(host);
  if (chain == nullptr) return;
  SpaceControl& space = *chain->layer(0).controls().space;
  static_cast<void>(SyncWait(loop, space.Compact({})).has_value());
  static_cast<void>(SyncWait(loop, space.SetQuota(SpaceQuota{0, 100 * kMiB})).has_value());
  model.BeginZero({4 * kMiB, 2 * kMiB});
  const bool trimmed =
      SyncWait(loop, chain->Discard({4 * kMiB, 2 * kMiB}, Durability::kVolatile)).has_value();
  if (trimmed) model.Complete({4 * kMiB, 2 * kMiB});
  const DiskModel::Snapshot snapshot = model.Completed();
  if (SyncWait(loop, chain->Flush()) && trimmed) model.Covered(snapshot);
  static_cast<void>(SyncWait(loop, Pause(loop)).has_value());
  static_cast<void>(SyncWait(loop, chain->Close()).has_value());
  chain.reset();
  loop.RunUntil([&loop] { return loop.spawned_tasks() == 0; });
}

class SpaceFault : public ::testing::TestWithParam<FaultKind> {};

TEST_P(SpaceFault, AtEveryCallLosesNothing) {
  const FaultKind& kind = GetParam();
  MemoryLoop loop;
  MemoryHost prepared(loop);
  DiskModel made(kDiskBytes, {ByteRange{0, kDiskBytes}});
  ASSERT_NO_FATAL_FAILURE(Make(prepared, made));
  uint64_t runs = 0;
  for (uint64_t number = 1;; ++number) {
    MemoryHost host(loop, {}, prepared.disk().AfterPowerCut(PowerCutPolicy{}));
    DiskModel model = made;
    if (kind.delay_turns > 0) host.faults().DelayCalls(number, kind.delay_turns);
    host.faults().SetFaultHook([&](const HostCall& call) -> std::optional<Fault> {
      if (call.number == number || (kind.for_good && call.number > number)) return kind.fault;
      return std::nullopt;
    });
    Work(host, model);
    const bool reached = host.faults().calls_made() >= number;
    for (uint64_t cut = 0; cut < 2; ++cut) {
      const PowerCutPolicy policy =
          cut == 0 ? PowerCutPolicy{PowerCutKind::kKeepAll, 0} : PowerCutPolicy::FromSeed(number);
      MemoryHost after(loop, {}, host.disk().AfterPowerCut(policy));
      ASSERT_EQ(VerifyImage(after, model, true), "")
          << kind.name << " at call " << number << ", cut " << cut;
    }
    ++runs;
    if (!reached) break;
  }
  fmt::print("{}: {} runs\n", kind.name, runs);
  EXPECT_GT(runs, 40u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SpaceFault, ::testing::ValuesIn(kKinds));

}  // namespace
}  // namespace mica::testing
