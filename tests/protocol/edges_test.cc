// SPDX-License-Identifier: Apache-2.0
// Every command at every edge of its numbers, over the wire: always one reply with a value the
// protocol allows, and the next request is understood.
#include <gtest/gtest.h>

#include <set>

#include "engine/base/prng.h"
#include "tests/protocol/test_server.h"

namespace mica::nbd {
namespace {

constexpr uint64_t kSize = TestServer::kDiskBytes;
constexpr uint64_t kOffsets[] = {0,
                                 1,
                                 511,
                                 4095,
                                 uint64_t{1} << 31,
                                 UINT32_MAX,
                                 uint64_t{1} << 32,
                                 kSize - 1,
                                 kSize,
                                 kSize + 1,
                                 uint64_t{1} << 63,
                                 UINT64_MAX - 511,
                                 UINT64_MAX};
constexpr uint64_t kLengths[] = {0,
                                 1,
                                 511,
                                 65536,
                                 (uint64_t{1} << 31),
                                 UINT32_MAX - 1,
                                 UINT32_MAX,
                                 uint64_t{1} << 32,
                                 kSize,
                                 uint64_t{1} << 63,
                                 UINT64_MAX};
constexpr ReplyStyle kAllStyles[] = {ReplyStyle::kSimple, ReplyStyle::kStructured,
                                     ReplyStyle::kExtended};

bool Allowed(WireError error) {
  static const std::set<uint32_t> values = {0, 1, 5, 12, 22, 28, 75, 95, 108};
  return values.contains(std::to_underlying(error));
}

TEST(Edges, EveryCommandWithEveryRange) {
  TestServer server;
  for (const ReplyStyle style : kAllStyles) {
    WireClient client = server.ConnectAndGo(style);
    uint64_t cookie = 0;
    for (const unsigned command : {0u, 3u, 4u, 5u, 6u, 7u, 8u, 0x8000u}) {
      for (const uint64_t offset : kOffsets) {
        for (const uint64_t length : kLengths) {
          if (length > UINT32_MAX && style != ReplyStyle::kExtended) continue;
          const Request request{.command = Command{static_cast<uint16_t>(command)},
                                .cookie = ++cookie,
                                .range = {offset, length}};
          const WireError error = client.Ask(request);
          ASSERT_TRUE(Allowed(error))
              << "command " << command << " at " << offset << " length " << length;
          const bool ranged = command != 3 && command < 8;
          const bool inside = offset <= kSize && length <= kSize - offset;
          const bool refused = error != WireError::kNone;
          ASSERT_TRUE(refused || inside || !ranged);
        }
      }
    }
  }
}

TEST(Edges, WritesWithEveryOffset) {
  TestServer server;
  for (const ReplyStyle style : kAllStyles) {
    WireClient client = server.ConnectAndGo(style);
    uint64_t cookie = 0;
    for (const uint64_t offset : kOffsets) {
      for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{511}, uint64_t{65536}}) {
        const std::vector<std::byte> data(length, std::byte{0x42});
        const Request request{
            .command = Command::kWrite, .cookie = ++cookie, .range = {offset, length}};
        const bool inside = offset <= kSize && length <= kSize - offset;
        ASSERT_EQ(client.Ask(request, data), inside ? WireError::kNone : WireError::kNoSpace);
      }
    }
  }
}

TEST(Edges, EveryCombinationOfFlagsOnEveryCommand) {
  TestServer server;
  for (const ReplyStyle style : kAllStyles) {
    WireClient client = server.ConnectAndGo(style);
    uint64_t cookie = 0;
    for (uint16_t command = 0; command < 10; ++command) {
      if (Command{command} == Command::kDisconnect) continue;
      for (uint32_t flags = 0; flags < 128; ++flags) {
        const Request request{.flags = static_cast<uint16_t>(flags == 127 ? 0xffff : flags),
                              .command = Command{command},
                              .cookie = ++cookie,
                              .range = {0, 4096}};
        const bool has_payload =
            Command{command} == Command::kWrite ||
            (style == ReplyStyle::kExtended && (request.flags & kCommandPayloadLen) != 0);
        const std::vector<std::byte> payload(has_payload ? 4096 : 0);
        ASSERT_TRUE(Allowed(client.Ask(request, payload)))
            << "command " << command << " flags " << flags;
      }
    }
  }
}

// Requests of every kind, right and wrong, in flight together: every one is answered exactly once.
TEST(Edges, ARandomMixtureIsAnsweredCompletely) {
  TestServer server;
  constexpr uint64_t kRequests = 3000;
  for (const uint64_t seed : {11u, 12u, 13u}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    WireClient client = server.ConnectAndGo(ReplyStyle::kStructured);
    ClientScript script;
    for (uint64_t cookie = 1; cookie <= kRequests; ++cookie) {
      Request request{.flags = static_cast<uint16_t>(prng.OneIn(4) ? prng.Below(64) : 0),
                      .command = Command{static_cast<uint16_t>(prng.Below(9))},
                      .cookie = cookie,
                      .range = {prng.Below(1u << 20), prng.Below(20'000)}};
      if (request.command == Command::kDisconnect) request.command = Command::kFlush;
      if (prng.OneIn(20)) request.range.offset = prng.Next();
      script.Request(request);
      if (request.command == Command::kWrite) {
        script.Raw(std::vector<std::byte>(request.range.length, std::byte{7}));
      }
    }
    std::thread sender([&] { EXPECT_TRUE(client.Send(script.Disconnect())); });
    std::set<uint64_t> answered;
    while (const auto reply = client.NextReply()) {
      const bool first = !reply->done || answered.insert(reply->cookie).second;
      EXPECT_TRUE(first) << "cookie " << reply->cookie;
      EXPECT_TRUE(Allowed(reply->error));
    }
    sender.join();
    EXPECT_EQ(answered.size(), kRequests);
  }
}

}  // namespace
}  // namespace mica::nbd
