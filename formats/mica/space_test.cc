// SPDX-License-Identifier: Apache-2.0
// Space that goes back to the host, and comes again.
#include <cerrno>

#include "engine/async/when_all.h"
#include "formats/mica/open_image.h"
#include "formats/mica/testing/image_fixture.h"

namespace mica::native {
namespace {

using mica::testing::kMiB;

TEST(SlotAllocatorReturn, TakesOutWholeRunsOnly) {
  SlotAllocator slots(2, 2000);
  slots.Reveal(SlotBitmap());
  slots.Allocate(1000);
  slots.Free({100, 40});
  slots.Free({300, 90});
  const uint64_t available = slots.available();
  EXPECT_EQ(slots.TakeFreeRun(2, 50, 1000), (SlotRun{300, 90}));
  EXPECT_EQ(slots.available(), available - 90);
  EXPECT_EQ(slots.TakeFreeRun(2, 50, 1000).count, 0u);
  EXPECT_EQ(slots.TakeFreeRun(2, 20, 30), (SlotRun{100, 30}));
  EXPECT_EQ(slots.TakeFreeRun(130, 10, 30), (SlotRun{130, 10}));
}

TEST(SlotAllocatorReturn, BareSlotsAreNotHandedOutUntilGranted) {
  SlotAllocator slots(2, 1002);
  slots.Reveal(SlotBitmap());
  slots.Allocate(1000);
  EXPECT_EQ(slots.available(), 0u);
  EXPECT_EQ(slots.BareStretch(1).count, 0u);
  slots.AddBare({100, 10});
  slots.AddBare({200, 10});
  EXPECT_EQ(slots.available(), 0u);
  EXPECT_EQ(slots.host_slots(), 1002u - 20);
  EXPECT_EQ(slots.BareStretch(4), (SlotRun{100, 4}));
  EXPECT_EQ(slots.BareStretch(15), (SlotRun{100, 105}));
  EXPECT_EQ(slots.BareStretch(99), (SlotRun{100, 110}));
  slots.GrantBare({100, 105});
  EXPECT_EQ(slots.available(), 15u);
  EXPECT_EQ(slots.bare_slots(), 5u);
  EXPECT_EQ(slots.Allocate(15), (std::vector<SlotRun>{{100, 10}, {200, 5}}));
}

TEST(SlotAllocatorReturn, TheMarkGoesDownOverFreeAndBareSlots) {
  SlotAllocator slots(2, 1100);
  slots.Reveal(SlotBitmap());
  slots.Allocate(998);
  slots.Free({950, 50});
  slots.AddBare({940, 10});
  slots.LowerHighWater(100);
  EXPECT_EQ(slots.high_water(), 950u);
  EXPECT_EQ(slots.available(), 150u);
  slots.LowerHighWater(0);
  EXPECT_EQ(slots.high_water(), 940u);
  EXPECT_EQ(slots.bare_slots(), 0u);
  EXPECT_EQ(slots.available(), 0u) << "the host has promised nothing from the bare slots on";
}

TEST(SlotAllocatorReturn, TheMarkMayGoDownWhileTheHostIsAskedForBareSlots) {
  SlotAllocator slots(2, 1000);
  slots.Reveal(SlotBitmap());
  slots.Allocate(998);
  slots.AddBare({900, 100});
  const SlotRun asked = slots.BareStretch(50);
  ASSERT_EQ(asked, (SlotRun{900, 50}));
  slots.LowerHighWater(0);
  ASSERT_EQ(slots.high_water(), 900u);
  slots.GrantBare(asked);
  EXPECT_EQ(slots.available(), 0u) << "they are beyond the mark, and nobody was promised them";
  EXPECT_EQ(slots.bare_slots(), 0u);
}

TEST(SlotAllocatorReturn, TheMarkStaysWhereLessThanIsNeededWouldBeLeft) {
  SlotAllocator slots(2, 1100);
  slots.Reveal(SlotBitmap());
  slots.Allocate(998);
  slots.Free({950, 50});
  slots.AddBare({940, 10});
  slots.Free({10, 5});
  slots.LowerHighWater(6);
  EXPECT_EQ(slots.high_water(), 950u);
  EXPECT_EQ(slots.available(), 5u + 150);
  slots.LowerHighWater(5);
  EXPECT_EQ(slots.high_water(), 940u);
  EXPECT_EQ(slots.available(), 5u);
}

class SpaceReturn : public mica::testing::ImageFixture {};

TEST_F(SpaceReturn, ATrimmedDiskGivesItsSpaceBackWhileItIsServed) {
  Create(64 * kMiB);
  Open();
  for (uint64_t i = 0; i < 32; ++i) Write(i * kMiB, kMiB, i);
  Flush();
  ASSERT_GE(HostBytes(), 32 * kMiB);
  Discard({8 * kMiB, 16 * kMiB});
  Flush();
  Sleep(std::chrono::seconds(5));
  EXPECT_LT(HostBytes(), 20 * kMiB);
  for (uint64_t i = 0; i < 32; ++i) {
    if (i < 8 || i >= 24) Expect(i * kMiB, kMiB, i);
  }
  Close();
}

TEST_F(SpaceReturn, ClosingGivesBackHolesAndTail) {
  Create(64 * kMiB);
  Open();
  for (uint64_t i = 0; i < 32; ++i) Write(i * kMiB, kMiB, i);
  Flush();
  Discard({4 * kMiB, 8 * kMiB});
  Discard({20 * kMiB, 12 * kMiB});
  Close();
  EXPECT_LT(HostBytes(), 15 * kMiB);
  EXPECT_LT(FileBytes(), 24 * kMiB);
  Open();
  for (const uint64_t i : {0, 3, 12, 19}) Expect(i * kMiB, kMiB, i);
  for (uint64_t i = 0; i < 32; ++i) Write(i * kMiB, kMiB, 100 + i);
  Close();
  Open();
  for (uint64_t i = 0; i < 32; ++i) Expect(i * kMiB, kMiB, 100 + i);
  Close();
  EXPECT_EQ(Check().corruptions, 0u);
}

// What was given back is asked for again before a write may use it: on a disk that has been filled
// by others meanwhile the write fails when it is admitted, not when it is under way.
TEST_F(SpaceReturn, SpaceThatWasGivenBackIsAskedForAgain) {
  Create(64 * kMiB);
  Open();
  Write(0, 32 * kMiB, 1);
  Flush();
  Discard({0, 32 * kMiB});
  Close();
  host_.disk().SetSpaceLimit(host_.disk().used_bytes() + 8 * kMiB);
  Open();
  uint64_t written = 0;
  Result<void> done;
  host_.faults().SetFaultHook([&](const HostCall& call) -> std::optional<Fault> {
    // Room that was promised is there: the disk is never full to a write.
    if (call.kind == HostCallKind::kWrite) host_.disk().SetSpaceLimit(UINT64_MAX);
    if (call.kind == HostCallKind::kAllocate) {
      host_.disk().SetSpaceLimit(std::max(host_.disk().used_bytes(), 10 * kMiB));
    }
    return std::nullopt;
  });
  while (done && written < 32) {
    const uint64_t used = host_.disk().used_bytes();
    done = TryWrite(written * kMiB, kMiB, written);
    if (done) ++written;
    ASSERT_LE(host_.disk().used_bytes(), std::max(used, 10 * kMiB)) << "a hole was written to";
  }
  EXPECT_EQ(done.error().code, Errc::kNoSpace);
  EXPECT_GT(written, 2u);
  host_.faults().SetFaultHook({});
  host_.disk().SetSpaceLimit(UINT64_MAX);
  Write(written * kMiB, kMiB, written);
  Flush();
  for (uint64_t i = 0; i <= written; ++i) Expect(i * kMiB, kMiB, i);
  Close();
}

// cloud-hypervisor#8624: space of a block was being given back while the block was used again.
// Punching takes long here, the disk is full, and writers want every slot at once.
class DelayedPunch : public SpaceReturn {
 protected:
  // Writes when the timer that starts the punching has fired, and `turns` turns later.
  Async<void> WriteLater(uint64_t offset, std::vector<std::byte> data, uint64_t turns) {
    co_await loop_.SleepUntil(loop_.Now() + std::chrono::seconds(1));
    for (; turns > 0; --turns) co_await loop_.Yield();
    co_return co_await chain_->Write(offset, data, Durability::kVolatile);
  }
  void RunSeed(uint64_t seed) {
    const uint64_t end = 12;
    Open();
    for (uint64_t i = 0; i < end; ++i) Write(i * kMiB, kMiB, seed);
    Flush();
    host_.disk().SetSpaceLimit(host_.disk().used_bytes());
    host_.faults().DelayCalls(seed, 60);
    Discard({2 * kMiB, 8 * kMiB});
    Flush();
    std::vector<Async<void>> writers;
    for (uint64_t i = 2; i < 10; ++i) {
      writers.push_back(WriteLater(i * kMiB, mica::testing::RandomData(kMiB, seed + i), seed * 3));
    }
    const Result<void> written = SyncWait(loop_, WhenAll(loop_, std::move(writers)));
    ASSERT_TRUE(written || written.error().code == Errc::kNoSpace) << written.error().message;
    Flush();
    host_.faults().DelayCalls(0, 0);
    if (written) {
      for (uint64_t i = 2; i < 10; ++i) Expect(i * kMiB, kMiB, seed + i);
    }
    Close();
    host_.disk().SetSpaceLimit(UINT64_MAX);
  }
};

TEST_F(DelayedPunch, NeverMeetsASlotThatIsUsedAgain) {
  uint64_t punches = 0;
  host_.faults().SetChangeHook(
      [&](const HostCall& call) { punches += call.kind == HostCallKind::kDeallocate ? 1 : 0; });
  Create(16 * kMiB);
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    RunSeed(seed);
    const CheckReport report = Check();
    ASSERT_EQ(report.corruptions, 0u) << "seed " << seed << ": " << report.findings.front().what;
  }
  EXPECT_GE(punches, 24u);
}

}  // namespace
}  // namespace mica::native
