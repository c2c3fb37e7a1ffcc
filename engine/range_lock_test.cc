// SPDX-License-Identifier: Apache-2.0
#include "engine/range_lock.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/base/prng.h"

namespace mica {
namespace {

struct Trace {
  std::vector<int> inside;  // ids that hold a lock now
  std::vector<ByteRange> ranges;
  std::vector<int> order;                            // ids in the order they were granted
  std::vector<bool> done = std::vector<bool>(1000);  // by id
  size_t finished = 0;
  size_t concurrent_max = 0;
};

Task<void> Hold(EventLoop& loop, RangeLock& lock, Trace& trace, int id, int turns) {
  const ByteRange range = trace.ranges[static_cast<size_t>(id)];
  const RangeLock::Guard guard = co_await lock.Acquire(range);
  for (const int other : trace.inside) {
    EXPECT_FALSE(trace.ranges[static_cast<size_t>(other)].Overlaps(range))
        << id << " and " << other;
  }
  for (int earlier = 0; earlier < id; ++earlier) {  // they have asked in the order of their ids
    const auto at = static_cast<size_t>(earlier);
    EXPECT_TRUE(trace.done[at] || !trace.ranges[at].Overlaps(range))
        << id << " overtook " << earlier;
  }
  trace.order.push_back(id);
  trace.inside.push_back(id);
  trace.concurrent_max = std::max(trace.concurrent_max, trace.inside.size());
  for (int i = 0; i < turns; ++i) co_await loop.Yield();
  std::erase(trace.inside, id);
  trace.done[static_cast<size_t>(id)] = true;
  ++trace.finished;
}

Task<void> HoldBriefly(EventLoop& loop, RangeLock& lock, ByteRange range, size_t& finished) {
  const RangeLock::Guard guard = co_await lock.Acquire(range);
  co_await loop.Yield();
  ++finished;
}

TEST(RangeLock, GrantsDisjointRangesTogetherAndOverlappingOnesInOrder) {
  MemoryLoop loop;
  RangeLock lock(loop);
  Trace trace;
  trace.ranges = {{0, 10}, {5, 10}, {20, 10}, {12, 2}};
  for (int id = 0; id < 4; ++id) loop.Spawn(Hold(loop, lock, trace, id, 3));
  loop.RunUntil([&] { return trace.finished == 4; });
  // 3 overlaps 1, which waits for 0: fairness keeps 3 behind 1.
  EXPECT_EQ(trace.order, (std::vector<int>{0, 2, 1, 3}));
}

TEST(RangeLock, NeverOverlapsUnderRandomLoad) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    MemoryLoop loop;
    RangeLock lock(loop);
    Trace trace;
    for (int id = 0; id < 200; ++id) trace.ranges.push_back({prng.Below(100), 1 + prng.Below(20)});
    for (int id = 0; id < 200; ++id) {
      loop.Spawn(Hold(loop, lock, trace, id, static_cast<int>(prng.Below(4))));
    }
    loop.RunUntil([&] { return trace.finished == 200; });
    EXPECT_GT(trace.concurrent_max, 1u);
  }
}

TEST(RangeLock, AnEmptyRangeMeetsNobody) {
  MemoryLoop loop;
  RangeLock lock(loop);
  Trace trace;
  trace.ranges = {{0, 10}, {0, 0}, {10, 0}, {10, 5}, {10, 0}};
  for (int id = 0; id < 5; ++id) loop.Spawn(Hold(loop, lock, trace, id, 3));
  loop.RunUntil([&] { return trace.finished == 5; });
  EXPECT_EQ(trace.concurrent_max, 5u);
}

// As many at once as the connections to a disk can bring. A look at all the others for each of them
// made the other disks of the loop wait for a second.
TEST(RangeLock, TensOfThousandsApartOrAllAtOnePlace) {
  constexpr uint64_t kLocks = 60'000;
  for (const uint64_t places : {kLocks, uint64_t{1}}) {
    MemoryLoop loop;
    RangeLock lock(loop);
    size_t finished = 0;
    for (uint64_t i = 0; i < kLocks; ++i) {
      loop.Spawn(HoldBriefly(loop, lock, {i % places * 8, 8}, finished));
    }
    loop.RunUntil([&] { return finished == kLocks; });
  }
}

}  // namespace
}  // namespace mica
