// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fleet/schedule.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace mica::rebase {
namespace {

std::vector<size_t> Numbers(size_t count) {
  std::vector<size_t> vms(count);
  std::iota(vms.begin(), vms.end(), size_t{0});
  return vms;
}

TEST(Schedule, StartsAllInOrderAndEnds) {
  Schedule schedule({}, Numbers(3));
  EXPECT_EQ(schedule.Next(), 0U);
  EXPECT_EQ(schedule.Next(), 1U);
  EXPECT_EQ(schedule.Next(), 2U);
  EXPECT_EQ(schedule.Next(), std::nullopt);
  EXPECT_FALSE(schedule.finished());
  for (const size_t vm : Numbers(3)) schedule.Ended(vm, VmState::kSwitched, 1);
  EXPECT_TRUE(schedule.finished());
  EXPECT_EQ(schedule.halted(), "");
}

TEST(Schedule, NothingToDoIsFinished) {
  Schedule schedule({.canaries = 2}, {});
  EXPECT_EQ(schedule.Next(), std::nullopt);
  EXPECT_TRUE(schedule.finished());
}

TEST(Schedule, WaitsForTheCanaries) {
  Schedule schedule({.canaries = 2}, Numbers(4));
  EXPECT_EQ(schedule.Next(), 0U);
  EXPECT_EQ(schedule.Next(), 1U);
  EXPECT_EQ(schedule.Next(), std::nullopt);
  schedule.Ended(0, VmState::kSwitched, 1);
  EXPECT_EQ(schedule.Next(), std::nullopt);
  schedule.Ended(1, VmState::kConflicts, 1);
  EXPECT_EQ(schedule.Next(), 2U);
}

TEST(Schedule, OneBadCanaryStopsTheJob) {
  Schedule schedule({.canaries = 2, .retries = 0}, Numbers(4));
  schedule.Next();
  schedule.Next();
  schedule.Ended(1, VmState::kQuarantined, 1);
  EXPECT_FALSE(schedule.finished());  // the other one still runs
  schedule.Ended(0, VmState::kSwitched, 1);
  EXPECT_EQ(schedule.Next(), std::nullopt);
  EXPECT_TRUE(schedule.finished());
  EXPECT_NE(schedule.halted(), "");
}

TEST(Schedule, ConflictsCountWhenAskedFor) {
  Schedule schedule({.halt_level = HaltLevel::kConflicts, .halt_after = 1}, Numbers(5));
  for (const size_t vm : {0, 1}) {
    EXPECT_EQ(schedule.Next(), vm);
    schedule.Ended(vm, VmState::kConflicts, 1);
  }
  EXPECT_EQ(schedule.Next(), std::nullopt);
  EXPECT_NE(schedule.halted(), "");
  Schedule tolerant({.halt_after = 1}, Numbers(5));
  for (const size_t vm : Numbers(5)) {
    EXPECT_EQ(tolerant.Next(), vm);
    tolerant.Ended(vm, VmState::kConflicts, 1);
  }
  EXPECT_EQ(tolerant.halted(), "");
}

TEST(Schedule, AFailureIsTriedAgainInItsWave) {
  Schedule schedule({.wave = 2, .retries = 1, .halt_after = 0}, Numbers(3));
  schedule.Next();
  schedule.Next();
  schedule.Ended(0, VmState::kFailed, 1);
  schedule.Ended(1, VmState::kSwitched, 1);
  EXPECT_EQ(schedule.Next(), 0U);
  EXPECT_EQ(schedule.Next(), std::nullopt);  // the next wave waits
  schedule.Ended(0, VmState::kFailed, 2);
  EXPECT_EQ(schedule.Next(), std::nullopt);
  EXPECT_NE(schedule.halted(), "");
}

TEST(Schedule, ABusyVmIsNoReasonToStop) {
  Schedule schedule({.halt_after = 0}, Numbers(2));
  schedule.Next();
  schedule.Ended(0, VmState::kBusy, 1);
  EXPECT_EQ(schedule.Next(), 1U);
  EXPECT_EQ(schedule.Next(), 0U);  // it may be free by now
  schedule.Ended(0, VmState::kBusy, 2);
  EXPECT_EQ(schedule.Next(), std::nullopt);
  EXPECT_EQ(schedule.halted(), "");
}

TEST(Schedule, PausesAfterTheWavesThatWereAskedFor) {
  Schedule schedule({.canaries = 1, .wave = 2, .waves_max = 1}, Numbers(5));
  std::set<size_t> started;
  while (!schedule.finished()) {
    const std::optional<size_t> vm = schedule.Next();
    if (!vm) continue;
    started.insert(*vm);
    schedule.Ended(*vm, VmState::kSwitched, 1);
  }
  EXPECT_EQ(started, (std::set<size_t>{0, 1, 2}));
  EXPECT_NE(schedule.paused(), "");
  EXPECT_EQ(schedule.halted(), "");
}

TEST(Schedule, StopsFromOutside) {
  Schedule schedule({}, Numbers(3));
  schedule.Next();
  schedule.Halt("interrupted");
  EXPECT_EQ(schedule.Next(), std::nullopt);
  schedule.Ended(0, VmState::kFailed, 1);  // not tried again
  EXPECT_TRUE(schedule.finished());
}

}  // namespace
}  // namespace mica::rebase
