// SPDX-License-Identifier: Apache-2.0
// What one client can make the server spend, and that others do not pay for it.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <fstream>
#include <string>

#include "nbd/negotiation.h"
#include "tests/protocol/test_server.h"

namespace mica::nbd {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)  // clang's way to tell
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// What a crowd of idle clients may cost; a sanitizer keeps a multiple of it for itself.
constexpr uint64_t kCrowdBytesMax = uint64_t{kSanitized ? 256 : 64} << 20;

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

// Memory of earlier tests may have gone meanwhile.
uint64_t GrownSince(uint64_t before) {
  const uint64_t now = ResidentBytes();
  return now > before ? now - before : 0;
}

// Sends until the server takes no more for a while; the number of whole requests taken.
size_t SendUntilStuck(TestServer& server, WireClient& client, ConstBytes bytes) {
  size_t sent = 0;
  int stuck = 0;
  while (stuck < 50 && sent < bytes.size()) {
    const size_t count = client.SendWithoutBlocking(bytes.subspan(sent));
    sent += count;
    stuck = count == 0 ? stuck + 1 : 0;
    server.OnLoop([] {});  // gives the server a turn
  }
  return sent / kRequestBytes;
}

// Clients that have sent `script`, while `other` is answered as if they were not there.
std::vector<WireClient> ConnectCrowd(TestServer& server, uint64_t count, const ClientScript& script,
                                     WireClient& other) {
  std::vector<WireClient> clients;
  for (uint64_t i = 1; i <= count; ++i) {
    clients.push_back(server.Connect());
    EXPECT_TRUE(clients.back().Send(script));
    EXPECT_EQ(other.Ask({.cookie = i, .range = {0, 4096}}), WireError::kNone);
  }
  return clients;
}

TEST(Limits, AClientThatNeverReadsIsNotReadFrom) {
  TestServer server;
  WireClient greedy = server.ConnectAndGo(ReplyStyle::kSimple);
  constexpr uint64_t kRequests = 20'000;
  constexpr uint64_t kReadBytes = 256u << 10;  // 5 GiB in all
  ClientScript script;
  for (uint64_t cookie = 1; cookie <= kRequests; ++cookie) {
    script.Request({.command = Command::kRead, .cookie = cookie, .range = {0, kReadBytes}});
  }
  const uint64_t before = ResidentBytes();
  const size_t taken = SendUntilStuck(server, greedy, script.bytes());
  // What the sockets hold (far below 2 MiB of requests, 74 k of them fit there) is not the
  // server's.
  const ServerLimits limits;
  // Without a bound it would be 5 GiB; sanitizers keep a multiple of it for themselves.
  EXPECT_LT(GrownSince(before), 8 * limits.in_flight_bytes_max);
  std::printf("taken into sockets and server: %zu requests, resident memory +%zu KiB\n", taken,
              (GrownSince(before)) >> 10);

  WireClient other = server.ConnectAndGo(ReplyStyle::kSimple);
  for (uint64_t cookie = 1; cookie <= 100; ++cookie) {
    EXPECT_EQ(other.Ask({.command = Command::kRead, .cookie = cookie, .range = {0, 4096}}),
              WireError::kNone);
  }
  // The greedy one gets every answer once it begins to read.
  std::thread rest([&] { greedy.Send(ConstBytes(script.bytes()).subspan(taken * kRequestBytes)); });
  for (uint64_t i = 1; i <= 3000; ++i) ASSERT_TRUE(greedy.NextReply(kReadBytes));
  ::shutdown(greedy.fd(), SHUT_RDWR);
  rest.join();
}

// Sends everything before it reads anything: neither side may wait for the other for ever.
TEST(Limits, AClientThatWritesALotBeforeItReadsIsServed) {
  TestServer server;
  WireClient client = server.ConnectAndGo(ReplyStyle::kStructured);
  ClientScript script;
  const std::vector<std::byte> data(64u << 10, std::byte{1});
  for (uint64_t cookie = 1; cookie <= 500; ++cookie) {
    script.Write(cookie, cookie * data.size(), data);
  }
  EXPECT_TRUE(client.Send(script));
  for (uint64_t i = 1; i <= 500; ++i) {
    const auto reply = client.NextReply();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->error, WireError::kNone);
  }
}

TEST(Limits, AThousandIdleConnectionsAndThenNoMore) {
  ServerOptions options;
  options.limits.connections_max = 1000;
  TestServer server(options);
  std::vector<WireClient> clients;
  const uint64_t before = ResidentBytes();
  for (int i = 0; i < 999; ++i) clients.push_back(server.Connect());
  for (WireClient& client : clients) EXPECT_TRUE(client.Greeting());
  const uint64_t grown = GrownSince(before);
  std::printf("999 idle connections: resident memory +%zu KiB\n", grown >> 10);
  EXPECT_LT(grown, kCrowdBytesMax);
  WireClient last = server.ConnectAndGo(ReplyStyle::kSimple);
  EXPECT_EQ(last.Ask({.command = Command::kFlush, .cookie = 1}), WireError::kNone);
  WireClient one_too_many = server.Connect();
  EXPECT_TRUE(one_too_many.AtEnd());
  last.Close();
  server.WaitFor([&] { return server.server().connections() == 999; });
  EXPECT_TRUE(server.Connect().Greeting());
}

// Each has sent all but the last byte of the longest option there may be.
TEST(Limits, AThousandUnfinishedOptions) {
  TestServer server;
  WireClient other = server.ConnectAndGo(ReplyStyle::kSimple);
  ClientScript script;
  const std::vector<std::byte> most(Negotiation::kOptionPayloadMax - 1, std::byte{'x'});
  script.Flags().OptionHeader(7, Negotiation::kOptionPayloadMax).Raw(most);
  constexpr uint64_t kClients = 900;
  const uint64_t before = ResidentBytes();
  std::vector<WireClient> clients = ConnectCrowd(server, kClients, script, other);
  const uint64_t grown = GrownSince(before);
  std::printf("%zu unfinished options: resident memory +%zu KiB\n", clients.size(), grown >> 10);
  EXPECT_LT(grown, kClients * 2 * Negotiation::kOptionPayloadMax + kCrowdBytesMax);
  for (WireClient& client : clients) {
    client.Send(ClientScript().Number(uint8_t{0}));
    EXPECT_TRUE(client.Greeting());
    EXPECT_EQ(client.NextOptionReply()->type, OptionReply::kErrInvalid);
  }
}

// 10,000 exports make a list of half a megabyte; nobody reads it.
TEST(Limits, ListsThatNobodyReads) {
  ServerOptions options;
  options.limits.handshake_timeout = std::chrono::seconds(1);
  TestServer server(options);
  server.OnLoop([&] {
    for (int i = 0; i < 10'000; ++i) {
      EXPECT_TRUE(server.server().exports().Add(
          Export("a rather long name of an export, number " + std::to_string(i), server.device())));
    }
  });
  WireClient other = server.ConnectAndGo(ReplyStyle::kSimple);
  ClientScript script;
  script.Flags();
  for (int i = 0; i < 30; ++i) script.Option(OptionCode::kList);
  constexpr uint64_t kClients = 100;
  const uint64_t before = ResidentBytes();
  std::vector<WireClient> clients = ConnectCrowd(server, kClients, script, other);
  const uint64_t grown = GrownSince(before);
  std::printf("%zu unread lists: resident memory +%zu KiB\n", clients.size(), grown >> 10);
  EXPECT_LT(grown, 2 * kCrowdBytesMax);
  server.WaitFor([&] { return server.server().connections() == 1; });  // the time is up for them
  EXPECT_EQ(other.Ask({.cookie = 1000, .range = {0, 4096}}), WireError::kNone);
}

TEST(Limits, TheLongestNameWorksEverywhereAndALongerOneNowhere) {
  const std::string longest(4096, 'n');
  TestServer server;
  server.OnLoop([&] {
    EXPECT_TRUE(server.server().exports().Add(Export(longest, server.device())));
    EXPECT_FALSE(server.server().exports().Add(Export(longest + "n", server.device())));
  });
  WireClient client = server.Connect();
  client.Send(ClientScript()
                  .Flags()
                  .Option(OptionCode::kStructuredReply)
                  .Info(OptionCode::kInfo, longest + "n")
                  .MetaContext(OptionCode::kSetMetaContext, longest + "n", {"base:allocation"})
                  .MetaContext(OptionCode::kSetMetaContext, longest, {"base:allocation"})
                  .Info(OptionCode::kGo, longest, {InfoType::kName})
                  .Request({.command = Command::kBlockStatus, .cookie = 7, .range = {0, 4096}}));
  EXPECT_TRUE(client.Greeting());
  for (const OptionReply type :
       {OptionReply::kAck, OptionReply::kErrTooBig, OptionReply::kErrTooBig,
        OptionReply::kMetaContext, OptionReply::kAck, OptionReply::kInfo}) {
    const auto reply = client.NextOptionReply();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->type, type);
  }
  const auto name = client.NextOptionReply();
  ASSERT_TRUE(name);
  EXPECT_EQ(AsText(name->payload).substr(2), longest);
  EXPECT_EQ(client.NextOptionReply()->type, OptionReply::kAck);
  EXPECT_EQ(client.NextReply()->type, ChunkType::kBlockStatus);
  WireClient old = server.Connect();
  old.Send(ClientScript().Flags().ExportName(longest));
  EXPECT_TRUE(old.Greeting());
  EXPECT_TRUE(old.Receive(10));
  WireClient longer = server.Connect();
  longer.Send(ClientScript().Flags().ExportName(longest + "n"));
  EXPECT_TRUE(longer.Greeting());
  EXPECT_TRUE(longer.AtEnd());
}

TEST(Limits, ConnectionsPerExport) {
  TestServer server;
  server.OnLoop([&] {
    Export one("one", server.device());
    one.connections_max = 1;
    EXPECT_TRUE(server.server().exports().Add(std::move(one)));
  });
  WireClient first = server.Connect();
  first.Send(ClientScript().Flags().Go("one"));
  EXPECT_TRUE(first.Greeting());
  EXPECT_EQ(first.NextOptionReply()->type, OptionReply::kInfo);
  EXPECT_EQ(first.NextOptionReply()->type, OptionReply::kAck);
  WireClient second = server.Connect();
  second.Send(ClientScript().Flags().Go("one"));
  EXPECT_TRUE(second.Greeting());
  EXPECT_EQ(second.NextOptionReply()->type, OptionReply::kErrPolicy);
  first.Send(ClientScript().Disconnect());
  EXPECT_TRUE(first.AtEnd());
  server.WaitFor([&] { return server.server().connections() == 1; });
  second.Send(ClientScript().Go("one"));
  EXPECT_EQ(second.NextOptionReply()->type, OptionReply::kInfo);
}

TEST(Limits, ThousandsOfShortConnections) {
  TestServer server;
  for (int i = 0; i < 3000; ++i) {
    WireClient client = server.Connect();
    if (i % 2 == 0) client.Send(ClientScript().Flags());
  }
  server.WaitFor([&] { return server.server().connections() == 0; });
}

}  // namespace
}  // namespace mica::nbd
