// SPDX-License-Identifier: Apache-2.0
// SlotAllocator and Reclaimer: a slot is handed out to one user at a time, and not before nobody
// can need its old content.
#include <gtest/gtest.h>

#include <set>

#include "engine/base/prng.h"
#include "formats/mica/reclaimer.h"
#include "formats/mica/slot_allocator.h"

namespace mica::native {
namespace {

TEST(SlotBitmap, FindsTheNextSetBit) {
  Prng prng(2);
  SlotBitmap bitmap;
  std::set<Slot> model;
  for (int step = 0; step < 20'000; ++step) {
    const auto slot = static_cast<Slot>(prng.Below(prng.OneIn(2) ? 1'000'000 : 5'000));
    if (prng.OneIn(3)) {
      bitmap.Clear(slot);
      model.erase(slot);
    } else {
      bitmap.Set(slot);
      model.insert(slot);
    }
    const auto from = static_cast<Slot>(prng.Below(1'100'000));
    const auto found = model.lower_bound(from);
    const Slot expected = found == model.end() ? 1'050'000 : std::min<Slot>(*found, 1'050'000);
    ASSERT_EQ(bitmap.FindSet(from, 1'050'000), from >= 1'050'000 ? 1'050'000 : expected);
    ASSERT_TRUE(bitmap.Test(slot) == model.contains(slot));
  }
}

TEST(SlotAllocator, HandsOutEachSlotOnce) {
  Prng prng(1);
  SlotAllocator slots(10, 2000);
  std::set<Slot> used;
  std::vector<SlotRun> held;
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t count = 1 + prng.Below(20);
    if (prng.OneIn(2) && slots.available() >= count) {
      const std::vector<SlotRun> runs = slots.Allocate(count);
      ASSERT_EQ(CountSlots(runs), count);
      for (const SlotRun& run : runs) {
        for (uint64_t slot = run.first; slot < run.end(); ++slot) {
          ASSERT_TRUE(used.insert(static_cast<Slot>(slot)).second) << "step " << step;
          ASSERT_GE(slot, 10u);
          ASSERT_LT(slot, 2000u);
        }
        held.push_back(run);
      }
    } else if (!held.empty()) {
      std::swap(held[prng.Below(held.size())], held.back());
      for (uint64_t slot = held.back().first; slot < held.back().end(); ++slot) {
        used.erase(static_cast<Slot>(slot));
      }
      slots.Free(held.back());
      held.pop_back();
    }
    ASSERT_EQ(slots.available(), 1990 - used.size());
  }
}

TEST(SlotAllocator, HiddenSlotsComeBackWithTheWalk) {
  SlotAllocator slots(100, 110);
  slots.Free({50, 3});  // freed while the walk runs
  EXPECT_EQ(slots.available(), 10u);
  EXPECT_EQ(slots.Allocate(4).front(), (SlotRun{100, 4}));
  SlotBitmap in_use;
  for (Slot slot = 0; slot < 100; ++slot) {
    if (slot != 70) in_use.Set(slot);
  }
  slots.Reveal(in_use);
  EXPECT_EQ(slots.available(), 6u + 3) << "the host has promised nothing for slot 70";
  slots.GrantBare(slots.BareStretch(1));
  EXPECT_EQ(slots.available(), 6u + 3 + 1);
  EXPECT_EQ(slots.Allocate(1).front(), (SlotRun{50, 1}));
}

TEST(SlotAllocator, KnowsWhereTheFileCouldEnd) {
  SlotAllocator slots(10, 100);
  slots.Reveal(SlotBitmap());
  EXPECT_EQ(slots.TrimmedHighWater(), 2u);
  slots.GrantBare(slots.BareStretch(8));
  EXPECT_EQ(slots.Allocate(30).front(), (SlotRun{2, 30}));
  slots.Free({20, 12});
  EXPECT_EQ(slots.TrimmedHighWater(), 20u);
}

TEST(Reclaimer, ASlotIsFreeWhenItsChangeIsDurableAndNoReadNeedsIt) {
  SlotAllocator slots(2, 100);
  slots.Reveal(SlotBitmap());
  slots.Allocate(50);
  const uint64_t start = slots.available();
  Reclaimer reclaimer(slots);
  std::unique_ptr<ReadPin> early = reclaimer.Pin();
  reclaimer.Park({10, 1});
  const uint64_t group = reclaimer.Seal();
  std::unique_ptr<ReadPin> late = reclaimer.Pin();
  reclaimer.Park({11, 1});
  EXPECT_EQ(reclaimer.parked_slots(), 2u);
  reclaimer.MakeDurable(group);
  EXPECT_EQ(slots.available(), start) << "a read that began before is still in flight";
  early.reset();
  EXPECT_EQ(slots.available(), start + 1);
  reclaimer.MakeDurable(reclaimer.Seal());
  EXPECT_EQ(slots.available(), start + 1);
  late.reset();
  EXPECT_EQ(slots.available(), start + 2);
  EXPECT_EQ(reclaimer.parked_slots(), 0u);
}

TEST(Reclaimer, RetiredSlotsWaitForReadsOnly) {
  SlotAllocator slots(2, 100);
  slots.Reveal(SlotBitmap());
  slots.Allocate(50);
  const uint64_t start = slots.available();
  Reclaimer reclaimer(slots);
  std::unique_ptr<ReadPin> pin = reclaimer.Pin();
  reclaimer.Park({20, 1});  // not durable yet
  reclaimer.Retire({{10, 2}});
  EXPECT_EQ(slots.available(), start);
  const std::unique_ptr<ReadPin> later = reclaimer.Pin();
  pin.reset();
  EXPECT_EQ(slots.available(), start + 2);
  EXPECT_EQ(reclaimer.parked_slots(), 1u);
}

TEST(Reclaimer, APinMayOutliveIt) {
  SlotAllocator slots(2, 100);
  std::unique_ptr<ReadPin> pin;
  {
    Reclaimer reclaimer(slots);
    pin = reclaimer.Pin();
  }
  pin.reset();
}

}  // namespace
}  // namespace mica::native
