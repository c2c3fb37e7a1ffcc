// SPDX-License-Identifier: Apache-2.0
// The clean stop, over real sockets.
#include <gtest/gtest.h>

#include "tests/protocol/test_server.h"

namespace mica::nbd {
namespace {

using Clock = std::chrono::steady_clock;

TEST(Stop, EndsIdleConnectionsOfEveryKindAtOnce) {
  const auto start = Clock::now();
  TestServer server;
  WireClient silent = server.Connect();
  WireClient negotiating = server.Connect();
  negotiating.Send(ClientScript().Flags().Option(OptionCode::kList));
  WireClient idle = server.ConnectAndGo(ReplyStyle::kSimple);
  server.Stop();
  server.Join();
  EXPECT_TRUE(silent.Greeting());
  EXPECT_TRUE(silent.AtEnd());
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
}

TEST(Stop, AnswersWhatIsOutstandingAndRefusesWhatIsNew) {
  TestServer server;
  server.OnLoop([&] { server.device().Hold(); });
  WireClient client = server.ConnectAndGo(ReplyStyle::kStructured);
  ClientScript script;
  for (uint64_t cookie = 1; cookie <= 64; ++cookie) {
    script.Request({.command = Command::kRead, .cookie = cookie, .range = {0, 4096}});
  }
  client.Send(script);
  server.WaitFor([&] { return server.device().waiting() == 64; });
  server.Stop();
  EXPECT_EQ(client.Ask({.command = Command::kFlush, .cookie = 100}), WireError::kShutdown);
  EXPECT_EQ(client.Ask({.command = Command::kRead, .cookie = 101, .range = {0, 1}}),
            WireError::kShutdown);
  server.OnLoop([&] { server.device().LetGo(); });
  for (int i = 0; i < 64; ++i) {
    const auto reply = client.NextReply();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->error, WireError::kNone);
  }
  EXPECT_TRUE(client.AtEnd());
  server.Join();
}

TEST(Stop, IsBoundedWhenAClientDoesNotRead) {
  ServerOptions options;
  options.limits.drain_timeout = std::chrono::milliseconds(200);
  TestServer server(options);
  WireClient client = server.ConnectAndGo(ReplyStyle::kSimple);
  ClientScript script;
  for (uint64_t cookie = 1; cookie <= 64; ++cookie) {
    script.Request({.command = Command::kRead, .cookie = cookie, .range = {0, 1u << 20}});
  }
  client.Send(script);
  EXPECT_TRUE(client.Receive(16));
  const auto start = Clock::now();
  server.Stop();
  server.Join();
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
}

TEST(Stop, IsCleanUnderLoad) {
  for (int round = 0; round < 20; ++round) {
    TestServer server;
    WireClient client = server.ConnectAndGo(ReplyStyle::kStructured);
    std::thread load([&] {
      uint64_t cookie = 0;
      for (;;) {
        const WireError error =
            client.Ask({.command = Command::kRead, .cookie = ++cookie, .range = {0, 4096}});
        if (error != WireError::kNone) break;  // refused, or closed between two requests
      }
    });
    server.OnLoop([] {});
    server.Stop();
    server.Join();
    client.ShutdownWrite();
    load.join();
  }
}

TEST(Stop, AHalfClosedClientThatNeverReadsIsGivenUp) {
  ServerOptions options;
  options.limits.drain_timeout = std::chrono::milliseconds(100);
  TestServer server(options);
  WireClient client = server.ConnectAndGo(ReplyStyle::kSimple);
  ClientScript script;
  for (uint64_t cookie = 1; cookie <= 64; ++cookie) {
    script.Request({.command = Command::kRead, .cookie = cookie, .range = {0, 1u << 20}});
  }
  client.Send(script);
  client.ShutdownWrite();
  server.WaitFor([&] { return server.server().connections() == 0; });
}

}  // namespace
}  // namespace mica::nbd
