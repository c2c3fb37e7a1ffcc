// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/async/async_mutex.h"
#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"

namespace mica {
namespace {

Async<int> Immediate(int value) {
  co_return value;
}

Async<int> Later(EventLoop& loop, int value) {
  co_await loop.Yield();
  co_return value;
}

Async<int> Fails() {
  co_return Error{Errc::kIo, "no luck"};
}

Async<int> Sum(EventLoop& loop) {
  CO_ASSIGN(const int a, co_await Immediate(1));
  CO_ASSIGN(const int b, co_await Later(loop, 2));
  co_return a + b;
}

Async<int> Propagates() {
  CO_ASSIGN(const int value, co_await Fails());
  co_return value + 1;
}

TEST(Task, ComposesImmediateAndSuspendedTasks) {
  MemoryLoop loop;
  EXPECT_EQ(SyncWait(loop, Sum(loop)).value(), 3);
}

TEST(BusyPoll, FollowsTheWaitsThereWere) {
  using std::chrono::microseconds;
  BusyPoll poll;
  poll.Waited(microseconds(1));
  EXPECT_FALSE(poll.enabled());
  EXPECT_EQ(poll.patience(), microseconds(0));
  poll.set_max(microseconds(50));
  EXPECT_EQ(poll.patience(), microseconds(0));  // nothing is known yet
  for (int i = 0; i < 10; ++i) poll.Waited(microseconds(20));
  EXPECT_EQ(poll.patience(), microseconds(50));
  poll.Waited(microseconds(51));
  EXPECT_LT(poll.patience(), microseconds(13));
  EXPECT_GT(poll.patience(), microseconds(0));
  poll.Waited(std::chrono::seconds(1));
  EXPECT_EQ(poll.patience(), microseconds(0));  // whoever is idle sleeps at once
  poll.Waited(microseconds(50));
  EXPECT_GT(poll.patience(), microseconds(0));
}

TEST(Task, PropagatesErrors) {
  MemoryLoop loop;
  const Result<int> result = SyncWait(loop, Propagates());
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message, "no luck");
}

Async<uint64_t> MillionAwaits() {
  uint64_t sum = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    CO_ASSIGN(const int one, co_await Immediate(1));
    sum += static_cast<uint64_t>(one);
  }
  co_return sum;
}

TEST(Task, AMillionImmediateAwaitsUseNoStack) {
  MemoryLoop loop;
  EXPECT_EQ(SyncWait(loop, MillionAwaits()).value(), 1'000'000u);
}

Task<void> Critical(EventLoop& loop, AsyncMutex& mutex, int& inside, int& inside_max, int& done) {
  auto lock = co_await mutex.Acquire();
  inside_max = std::max(inside_max, ++inside);
  co_await loop.Yield();
  --inside;
  ++done;
}

TEST(AsyncMutex, AdmitsOneAtATime) {
  MemoryLoop loop;
  AsyncMutex mutex(loop);
  int inside = 0;
  int inside_max = 0;
  int done = 0;
  for (int i = 0; i < 20; ++i) loop.Spawn(Critical(loop, mutex, inside, inside_max, done));
  loop.RunUntil([&] { return done == 20; });
  EXPECT_EQ(inside_max, 1);
}

Task<void> LateArrivals(EventLoop& loop, AsyncMutex& mutex, int& inside, int& inside_max,
                        int& done) {
  for (int i = 0; i < 50; ++i) {
    co_await loop.Yield();
    loop.Spawn(Critical(loop, mutex, inside, inside_max, done));
  }
}

TEST(AsyncMutex, ALateComerCannotSlipInDuringAHandOver) {
  MemoryLoop loop;
  AsyncMutex mutex(loop);
  int inside = 0;
  int inside_max = 0;
  int done = 0;
  loop.Spawn(LateArrivals(loop, mutex, inside, inside_max, done));
  for (int i = 0; i < 20; ++i) loop.Spawn(Critical(loop, mutex, inside, inside_max, done));
  loop.RunUntil([&] { return done == 70; });
  EXPECT_EQ(inside_max, 1);
}

Async<void> SleepThen(EventLoop& loop, int seconds, bool fail) {
  co_await loop.SleepUntil(loop.Now() + std::chrono::seconds(seconds));
  if (fail) co_return Error{Errc::kIo, std::to_string(seconds)};
  co_return Result<void>();
}

TEST(WhenAll, WaitsForAllAndReportsTheFirstInTheList) {
  MemoryLoop loop;
  std::vector<Async<void>> tasks;
  tasks.push_back(SleepThen(loop, 3, true));
  tasks.push_back(SleepThen(loop, 1, true));
  tasks.push_back(SleepThen(loop, 5, false));
  const Result<void> result = SyncWait(loop, WhenAll(loop, std::move(tasks)));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message, "3");
  EXPECT_EQ(loop.Now(), std::chrono::seconds(5));
}

TEST(Timer, FiresOnceAndCanBeCancelled) {
  MemoryLoop loop;
  int fired = 0;
  const Timer kept(loop, std::chrono::seconds(1), [&] { ++fired; });
  {
    const Timer cancelled(loop, std::chrono::seconds(2), [&] { fired += 100; });
  }
  SyncWait(loop, loop.SleepUntil(std::chrono::seconds(3)));
  EXPECT_EQ(fired, 1);
}

}  // namespace
}  // namespace mica
