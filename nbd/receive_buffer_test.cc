// SPDX-License-Identifier: Apache-2.0
#include "nbd/receive_buffer.h"

#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "nbd/testing/memory_stream.h"

namespace mica::nbd {
namespace {

Task<void> SendPattern(Stream& stream, size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  const ConstBytes part = bytes;
  (void)co_await stream.Send(std::span(&part, 1));
  (void)co_await stream.Finish();
}

// Any mixture of headers, copied and in-place payloads and skips sees every byte once, in order.
Async<void> TakeApart(ReceiveBuffer& buffer, size_t count, Prng& prng) {
  size_t at = 0;
  const auto expect = [&](ConstBytes bytes) {
    for (const std::byte byte : bytes) {
      ASSERT_EQ(byte, static_cast<std::byte>(at * 7 + at / 251)) << "at " << at;
      ++at;
    }
  };
  while (at < count) {
    const size_t longest = prng.OneIn(8) ? 300'000 : 200;
    const size_t step = std::min<size_t>(count - at, 1 + prng.Below(longest));
    std::vector<std::byte> out(step);
    const uint64_t way = prng.Below(3);
    bool complete = false;
    if (way == 0) {
      CO_ASSIGN(complete, co_await buffer.Skip(step));
      at += step;
    } else if (way == 1 && step <= ReceiveBuffer::kCapacityBytes) {
      CO_ASSIGN(complete, co_await buffer.Fill(step));
      expect(buffer.available().first(step));
      buffer.Consume(step);
    } else {
      CO_ASSIGN(complete, co_await buffer.Read(out));
      expect(out);
    }
    EXPECT_TRUE(complete);
  }
  CO_ASSIGN(const bool more, co_await buffer.Fill(1));
  EXPECT_FALSE(more);
  co_return Result<void>();
}

TEST(ReceiveBuffer, DeliversEveryByteOnce) {
  constexpr size_t kCount = 3'000'000;
  for (const uint64_t seed : {1u, 2u, 3u, 4u}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MemoryLoop loop;
    auto [client, server] = MemoryStream::MakePair(loop, 100'000, seed % 2 == 0 ? 999 : SIZE_MAX);
    loop.Spawn(SendPattern(*client, kCount));
    ReceiveBuffer buffer(*server);
    Prng prng(seed);
    EXPECT_TRUE(SyncWait(loop, TakeApart(buffer, kCount, prng)));
  }
}

TEST(ReceiveBuffer, SaysWhenThePeerStopsEarly) {
  MemoryLoop loop;
  auto [client, server] = MemoryStream::MakePair(loop, 1000);
  loop.Spawn(SendPattern(*client, 10));
  ReceiveBuffer buffer(*server);
  EXPECT_FALSE(SyncWait(loop, buffer.Fill(11)).value());
  std::vector<std::byte> out(50'000);
  EXPECT_FALSE(SyncWait(loop, buffer.Read(out)).value());
  EXPECT_FALSE(SyncWait(loop, buffer.Skip(UINT64_MAX)).value());
}

}  // namespace
}  // namespace mica::nbd
