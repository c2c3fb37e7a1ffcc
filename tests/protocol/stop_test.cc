// SPDX-License-Identifier: Apache-2.0
// The clean stop, over real sockets.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "nbd/socket_stream.h"
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

// A writer that waits on a peer which has half-closed must sleep: the hang-up is no news for it.
TEST(Stop, AHalfClosedPeerDoesNotSpinTheLoop) {
  const Result<std::unique_ptr<Runtime>> runtime = MakePosixRuntime(TestedEngine());
  ASSERT_TRUE(runtime);
  EventLoop& loop = (*runtime)->loop();
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  SocketStream stream(loop, UniqueFd(ends[0]));
  UniqueFd peer(ends[1]);
  ASSERT_EQ(::shutdown(peer.get(), SHUT_WR), 0);
  struct Body {
    static Task<void> Send(Stream& to, bool& ended) {
      const std::vector<std::byte> much(16u << 20);
      const ConstBytes part = much;
      const Result<void> sent = co_await to.Send(std::span(&part, 1));
      EXPECT_FALSE(sent);
      ended = true;
    }
  };
  bool ended = false;
  loop.Spawn(Body::Send(stream, ended));
  bool over = false;
  const Timer timer(loop, loop.Now() + std::chrono::milliseconds(100), [&] { over = true; });
  int turns = 0;
  loop.RunUntil([&] {
    ++turns;
    return over;
  });
  EXPECT_LT(turns, 100);
  peer.Close();
  loop.RunUntil([&] { return ended; });
}

}  // namespace
}  // namespace mica::nbd
