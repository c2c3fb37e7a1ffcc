// SPDX-License-Identifier: Apache-2.0
// Clients that vanish in every state of the protocol. The server must notice, finish what the
// device is doing, free everything, and go on serving others.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/protocol/test_server.h"

namespace mica::nbd {
namespace {

enum class Goodbye { kClose, kReset, kHalfClose };

void Leave(WireClient& client, Goodbye goodbye) {
  switch (goodbye) {
    case Goodbye::kClose:
      client.Close();
      break;
    case Goodbye::kReset: {
      // Unread bytes at close turn into a reset for the other side.
      ::shutdown(client.fd(), SHUT_RD);
      client.Close();
      break;
    }
    case Goodbye::kHalfClose:
      client.ShutdownWrite();
      break;
  }
}

class Vanish : public testing::TestWithParam<Goodbye> {
 protected:
  void ExpectNobodyLeft() {
    server_.WaitFor([this] { return server_.server().connections() == 0; });
    WireClient other = server_.ConnectAndGo(ReplyStyle::kSimple);
    EXPECT_EQ(other.Ask({.command = Command::kRead, .cookie = 1, .range = {0, 4096}}),
              WireError::kNone);
  }
  // All of them are in the device when the client leaves.
  void LeaveWithRequests(ReplyStyle style, Command command, uint64_t outstanding) {
    server_.OnLoop([&] { server_.device().Hold(); });
    WireClient client = server_.ConnectAndGo(style);
    ClientScript script;
    if (style == ReplyStyle::kExtended) script.UseExtendedHeaders();
    const std::vector<std::byte> data(4096, std::byte{1});
    for (uint64_t cookie = 1; cookie <= outstanding; ++cookie) {
      script.Request({.command = command, .cookie = cookie, .range = {0, 4096}});
      if (command == Command::kWrite) script.Raw(data);
    }
    EXPECT_TRUE(client.Send(script));
    server_.WaitFor([&] { return server_.device().waiting() == outstanding; });
    Leave(client, GetParam());
    server_.OnLoop([&] { server_.device().LetGo(); });
    if (GetParam() == Goodbye::kHalfClose) {
      const size_t reply_bytes = command == Command::kRead ? 4096 : 0;
      for (uint64_t i = 0; i < outstanding; ++i) EXPECT_TRUE(client.NextReply(reply_bytes));
      EXPECT_TRUE(client.AtEnd());
    }
    client.Close();
  }
  TestServer server_;
};

TEST_P(Vanish, AfterEveryByteOfAConversation) {
  const std::vector<std::byte> data(1000, std::byte{1});
  for (const ReplyStyle style : {ReplyStyle::kStructured, ReplyStyle::kExtended}) {
    ClientScript script;
    script.GoInStyle(style, "disk")
        .Write(1, 0, data)
        .Request({.command = Command::kBlockStatus, .cookie = 2, .range = {0, 65536}})
        .Request({.command = Command::kRead, .cookie = 3, .range = {0, 65536}});
    const ConstBytes all = script.bytes();
    for (size_t count = 0; count < all.size(); count += count < 300 ? 1 : 97) {
      WireClient client = server_.Connect();
      client.Send(all.first(count));
      Leave(client, GetParam());
      if (GetParam() == Goodbye::kHalfClose) {
        while (client.Receive(1)) continue;
      }
    }
  }
  ExpectNobodyLeft();
}

TEST_P(Vanish, WithRequestsInTheDevice) {
  for (const ReplyStyle style :
       {ReplyStyle::kSimple, ReplyStyle::kStructured, ReplyStyle::kExtended}) {
    for (const Command command : {Command::kRead, Command::kWrite, Command::kFlush, Command::kTrim,
                                  Command::kCache, Command::kWriteZeroes, Command::kBlockStatus}) {
      const bool status = command == Command::kBlockStatus;
      if (status && style == ReplyStyle::kSimple) continue;
      // A status counts as the megabyte it may become, and 64 MiB are all a connection gets.
      const uint64_t many = status ? 32 : 64;
      for (const uint64_t outstanding : {uint64_t{0}, uint64_t{1}, many}) {
        LeaveWithRequests(style, command, outstanding);
      }
    }
  }
  ExpectNobodyLeft();
}

TEST_P(Vanish, WithRepliesNobodyReads) {
  for (int round = 0; round < 10; ++round) {
    WireClient client = server_.ConnectAndGo(ReplyStyle::kSimple);
    ClientScript script;
    for (uint64_t cookie = 1; cookie <= 64; ++cookie) {
      script.Request({.command = Command::kRead, .cookie = cookie, .range = {0, 1u << 20}});
    }
    EXPECT_TRUE(client.Send(script));
    EXPECT_TRUE(client.Receive(100));
    Leave(client, GetParam());
    client.Close();
  }
  ExpectNobodyLeft();
}

TEST_P(Vanish, InTheMiddleOfALargeWrite) {
  for (const size_t sent : {size_t{1}, size_t{100'000}, size_t{5} << 20}) {
    WireClient client = server_.ConnectAndGo(ReplyStyle::kSimple);
    client.Send(
        ClientScript().Request({.command = Command::kWrite, .cookie = 1, .range = {0, 32u << 20}}));
    client.Send(std::vector<std::byte>(sent, std::byte{1}));
    Leave(client, GetParam());
    client.Close();
  }
  ExpectNobodyLeft();
}

INSTANTIATE_TEST_SUITE_P(Goodbyes, Vanish,
                         testing::Values(Goodbye::kClose, Goodbye::kReset, Goodbye::kHalfClose));

}  // namespace
}  // namespace mica::nbd
