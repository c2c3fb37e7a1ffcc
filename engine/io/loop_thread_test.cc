// SPDX-License-Identifier: Apache-2.0
#include "engine/io/loop_thread.h"

#include <gtest/gtest.h>

#include "engine/async/call_on.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"

namespace mica {
namespace {

Async<std::thread::id> WhoRuns(EventLoop& loop) {
  co_await loop.Yield();
  co_return std::this_thread::get_id();
}

Async<void> CountOn(EventLoop& loop, int& counter) {
  co_await loop.Yield();
  ++counter;
  co_return Result<void>();
}

// A hundred calls, one after another, that come back to the loop they were made on.
Async<void> CallManyTimes(EventLoop& here, EventLoop& there, int& counter) {
  for (int i = 0; i < 100; ++i) {
    const std::function<Async<void>()> make = [&] { return CountOn(there, counter); };
    CO_TRY(co_await CallOn(here, there, make));
  }
  co_return Result<void>();
}

TEST(LoopThread, CallOnRunsThereAndCompletesHere) {
  const Result<std::unique_ptr<Runtime>> runtime = MakePosixRuntime(IoEngineKind::kAuto);
  ASSERT_TRUE(runtime);
  EventLoop& here = (*runtime)->loop();
  const Result<std::unique_ptr<LoopThread>> thread = LoopThread::Start(IoEngineKind::kAuto);
  ASSERT_TRUE(thread);
  EventLoop& there = (*thread)->loop();
  const std::function<Async<std::thread::id>()> make = [&] { return WhoRuns(there); };
  const Result<std::thread::id> who = SyncWait(here, CallOn(here, there, make));
  ASSERT_TRUE(who);
  EXPECT_NE(*who, std::this_thread::get_id());
  const std::function<Async<std::thread::id>()> make_here = [&] { return WhoRuns(here); };
  EXPECT_EQ(SyncWait(here, CallOn(here, here, make_here)).value(), std::this_thread::get_id());
}

TEST(LoopThread, ManyCallsToManyThreads) {
  const Result<std::unique_ptr<Runtime>> runtime = MakePosixRuntime(IoEngineKind::kPread);
  ASSERT_TRUE(runtime);
  EventLoop& here = (*runtime)->loop();
  std::vector<std::unique_ptr<LoopThread>> threads;
  std::array<int, 4> counters{};
  std::vector<Async<void>> calls;
  for (int& counter : counters) {
    Result<std::unique_ptr<LoopThread>> thread = LoopThread::Start(IoEngineKind::kPread);
    ASSERT_TRUE(thread);
    calls.push_back(CallManyTimes(here, (*thread)->loop(), counter));
    threads.push_back(*std::move(thread));
  }
  EXPECT_TRUE(SyncWait(here, WhenAll(here, std::move(calls))));
  for (const int counter : counters) EXPECT_EQ(counter, 100);
}

}  // namespace
}  // namespace mica
