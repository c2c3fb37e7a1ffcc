// SPDX-License-Identifier: Apache-2.0
// The contract of EventLoop, for every loop that waits in the kernel.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "engine/async/sync_wait.h"
#include "engine/base/unique_fd.h"
#include "tests/conformance/block_file_fixture.h"

namespace mica {
namespace {

struct SocketPair {
  UniqueFd near;
  UniqueFd far;
};

SocketPair MakeSocketPair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void Send(int fd, size_t count) {
  const std::vector<char> data(count, 'x');
  ASSERT_EQ(::write(fd, data.data(), data.size()), static_cast<ssize_t>(count));
}

size_t Drain(int fd) {
  std::vector<char> data(65536);
  size_t total = 0;
  ssize_t got = 0;
  while ((got = ::read(fd, data.data(), data.size())) > 0) total += static_cast<size_t>(got);
  return total;
}

size_t FillUp(int fd) {
  const std::vector<char> data(65536, 'x');
  size_t total = 0;
  ssize_t put = 0;
  while ((put = ::write(fd, data.data(), data.size())) > 0) total += static_cast<size_t>(put);
  return total;
}

class LoopSuite : public HostSuite {};

TEST_P(LoopSuite, ReadableNowAndLater) {
  const SocketPair pair = MakeSocketPair();
  Send(pair.far.get(), 1);
  ASSERT_TRUE(SyncWait(loop(), loop().WaitReady(pair.near.get(), Readiness::kReadable)));
  EXPECT_EQ(Drain(pair.near.get()), 1u);
  const EventLoop::Time later = loop().Now() + std::chrono::milliseconds(5);
  const Timer timer(loop(), later, [&] { Send(pair.far.get(), 3); });
  ASSERT_TRUE(SyncWait(loop(), loop().WaitReady(pair.near.get(), Readiness::kReadable)));
  EXPECT_GE(loop().Now(), later);
  EXPECT_EQ(Drain(pair.near.get()), 3u);
}

TEST_P(LoopSuite, HangUpIsReadiness) {
  SocketPair pair = MakeSocketPair();
  pair.far.Close();
  EXPECT_TRUE(SyncWait(loop(), loop().WaitReady(pair.near.get(), Readiness::kReadable)));
  EXPECT_TRUE(SyncWait(loop(), loop().WaitReady(pair.near.get(), Readiness::kWritable)));
}

Task<void> WaitAndNote(EventLoop& loop, int fd, Readiness readiness, bool& done) {
  const Result<void> ready = co_await loop.WaitReady(fd, readiness);
  EXPECT_TRUE(ready.has_value());
  done = true;
}

TEST_P(LoopSuite, BothDirectionsOfOneDescriptor) {
  const SocketPair pair = MakeSocketPair();
  const size_t filled = FillUp(pair.near.get());
  bool readable = false;
  bool writable = false;
  loop().Spawn(WaitAndNote(loop(), pair.near.get(), Readiness::kReadable, readable));
  loop().Spawn(WaitAndNote(loop(), pair.near.get(), Readiness::kWritable, writable));
  SyncWait(loop(), loop().SleepUntil(loop().Now() + std::chrono::milliseconds(2)));
  EXPECT_FALSE(readable || writable);
  EXPECT_EQ(Drain(pair.far.get()), filled);
  loop().RunUntil([&] { return writable; });
  EXPECT_FALSE(readable);
  Send(pair.far.get(), 1);
  loop().RunUntil([&] { return readable; });
}

TEST_P(LoopSuite, ADescriptorNumberCanBeReused) {
  for (int round = 0; round < 20; ++round) {
    const SocketPair pair = MakeSocketPair();
    const Timer timer(loop(), loop().Now(), [&] { Send(pair.far.get(), 1); });
    ASSERT_TRUE(SyncWait(loop(), loop().WaitReady(pair.near.get(), Readiness::kReadable)));
  }
}

Task<void> Echo(EventLoop& loop, int fd, size_t& bytes, size_t wanted) {
  while (bytes < wanted) {
    const Result<void> ready = co_await loop.WaitReady(fd, Readiness::kReadable);
    EXPECT_TRUE(ready.has_value());
    bytes += Drain(fd);
  }
}

TEST_P(LoopSuite, ManyDescriptors) {
  constexpr size_t kPairs = 200;
  std::vector<SocketPair> pairs;
  std::vector<size_t> bytes(kPairs, 0);
  for (size_t i = 0; i < kPairs; ++i) {
    pairs.push_back(MakeSocketPair());
    loop().Spawn(Echo(loop(), pairs[i].near.get(), bytes[i], 100));
  }
  for (int round = 0; round < 10; ++round) {
    for (const SocketPair& pair : pairs) Send(pair.far.get(), 10);
    SyncWait(loop(), loop().SleepUntil(loop().Now() + std::chrono::microseconds(100)));
  }
  loop().RunUntil([&] { return loop().spawned_tasks() == 0; });
  EXPECT_EQ(bytes, std::vector<size_t>(kPairs, 100));
}

TEST_P(LoopSuite, OtherThreadsCanPost) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 500;
  int count = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int post = 0; post < kPosts; ++post) loop().PostFromAnyThread([&] { ++count; });
    });
  }
  loop().RunUntil([&] { return count == kThreads * kPosts; });
  EXPECT_EQ(count, kThreads * kPosts);
}

TEST_P(LoopSuite, TimersFireInOrderAndNotEarly) {
  std::vector<int> order;
  const EventLoop::Time start = loop().Now();
  const Timer third(loop(), start + std::chrono::milliseconds(6), [&] { order.push_back(3); });
  const Timer first(loop(), start + std::chrono::microseconds(500), [&] { order.push_back(1); });
  const Timer second(loop(), start + std::chrono::milliseconds(3), [&] { order.push_back(2); });
  loop().RunUntil([&] { return order.size() == 3; });
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_GE(loop().Now() - start, std::chrono::milliseconds(6));
}

TEST_P(LoopSuite, YieldingTasksDoNotStarveTheKernel) {
  const SocketPair pair = MakeSocketPair();
  bool readable = false;
  loop().Spawn(WaitAndNote(loop(), pair.near.get(), Readiness::kReadable, readable));
  Send(pair.far.get(), 1);
  struct Body {
    static Task<void> Spin(EventLoop& loop, bool& stop) {
      while (!stop) co_await loop.Yield();
    }
  };
  SyncWait(loop(), Body::Spin(loop(), readable));
  EXPECT_TRUE(readable);
}

INSTANTIATE_TEST_SUITE_P(EveryLoop, LoopSuite,
                         testing::Values(HostCase{"epoll", false, IoEngineKind::kPread, false},
                                         HostCase{"epoll_aio", false, IoEngineKind::kAio, false},
                                         HostCase{"uring", false, IoEngineKind::kUring, false}),
                         HostCaseName);

}  // namespace
}  // namespace mica
