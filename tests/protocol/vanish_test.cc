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
  TestServer server_;
};

TEST_P(Vanish, AfterEveryByteOfAConversation) {
  ClientScript script;
  const std::vector<std::byte> data(1000, std::byte{1});
  script.GoStructured("disk")
      .Write(1, 0, data)
      .Request({.command = Command::kRead, .cookie = 2, .range = {0, 65536}});
  const ConstBytes all = script.bytes();
  for (size_t count = 0; count < all.size(); count += count < 300 ? 1 : 97) {
    WireClient client = server_.Connect();
    client.Send(all.first(count));
    Leave(client, GetParam());
    if (GetParam() == Goodbye::kHalfClose) {
      while (client.Receive(1)) continue;
    }
  }
  ExpectNobodyLeft();
}

TEST_P(Vanish, WithRequestsInTheDevice) {
  for (const uint64_t outstanding : {0u, 1u, 64u}) {
    for (const Command command : {Command::kRead, Command::kFlush, Command::kWrite}) {
      server_.OnLoop([&] { server_.device().Hold(); });
      WireClient client = server_.ConnectAndGo(ReplyStyle::kStructured);
      ClientScript script;
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
        for (uint64_t i = 0; i < outstanding; ++i) EXPECT_TRUE(client.NextReply());
        EXPECT_TRUE(client.AtEnd());
      }
      client.Close();
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
