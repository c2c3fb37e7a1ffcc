// SPDX-License-Identifier: Apache-2.0
// What servers are known to do differently, and what this one is meant to do: strict where the
// rules say drop, in sync everywhere else, bounded always.
#include <gtest/gtest.h>

#include <string>

#include "tests/protocol/test_server.h"

namespace mica::nbd {
namespace {

TEST(Probe, ClientFlagBit31IsDropped) {
  TestServer server;
  WireClient client = server.Connect();
  EXPECT_TRUE(client.Send(ClientScript().Flags(kUsualClientFlags | 1u << 31)));
  EXPECT_TRUE(client.Greeting());
  EXPECT_TRUE(client.AtEnd());
}

TEST(Probe, TwoThousandUnknownOptionsAreDroppedAfterThirtyTwo) {
  TestServer server;
  WireClient client = server.Connect();
  ClientScript script;
  script.Flags();
  for (int i = 0; i < 2000; ++i) script.OptionHeader(1000, 0);
  client.Send(script);
  EXPECT_TRUE(client.Greeting());
  int answered = 0;
  while (client.NextOptionReply()) ++answered;
  EXPECT_EQ(answered, 32);
}

TEST(Probe, AnOptionLengthOfFourGigabytesIsDropped) {
  TestServer server;
  WireClient client = server.Connect();
  client.Send(ClientScript().Flags().OptionHeader(1000, UINT32_MAX));
  EXPECT_TRUE(client.Greeting());
  EXPECT_TRUE(client.AtEnd());
}

TEST(Probe, AWritePastTheEndIsENOSPCAndTheConnectionStays) {
  TestServer server;
  for (const ReplyStyle style : {ReplyStyle::kSimple, ReplyStyle::kStructured}) {
    WireClient client = server.ConnectAndGo(style);
    const std::vector<std::byte> data(4096, std::byte{1});
    const Request write{
        .command = Command::kWrite, .cookie = 1, .range = {TestServer::kDiskBytes - 4095, 4096}};
    EXPECT_EQ(client.Ask(write, data), WireError::kNoSpace);
    const Request flush{.command = Command::kFlush, .cookie = 2};
    EXPECT_EQ(client.Ask(flush), WireError::kNone);
  }
}

TEST(Probe, ZeroesOf64BitsAreOneRequest) {
  TestServer server;
  WireClient client = server.ConnectAndGo(ReplyStyle::kExtended);
  const ByteRange all{0, TestServer::kDiskBytes};
  uint64_t cookie = 0;
  for (const Command command : {Command::kTrim, Command::kWriteZeroes, Command::kCache}) {
    EXPECT_EQ(client.Ask({.command = command, .cookie = ++cookie, .range = all}), WireError::kNone);
  }
  client.Send(ClientScript().UseExtendedHeaders().Request(
      {.command = Command::kBlockStatus, .cookie = 99, .range = all}));
  const auto status = client.NextReply();
  ASSERT_TRUE(status);
  ASSERT_EQ(status->payload.size(), 8u + 16);
  EXPECT_EQ(LoadBe<uint64_t>(status->payload, 8), TestServer::kDiskBytes);
}

TEST(Probe, AWriteOf70MiBIsDropped) {
  TestServer server;
  WireClient client = server.ConnectAndGo(ReplyStyle::kSimple);
  client.Send(
      ClientScript().Request({.command = Command::kWrite, .cookie = 1, .range = {0, 70u << 20}}));
  EXPECT_TRUE(client.AtEnd());
}

TEST(Probe, A64MiBWriteAndReadAreFine) {
  TestServer server;
  WireClient client = server.ConnectAndGo(ReplyStyle::kStructured);
  const std::vector<std::byte> data(64u << 20, std::byte{0x5a});
  const ByteRange range{12'345, data.size()};
  EXPECT_EQ(client.Ask({.command = Command::kWrite, .cookie = 1, .range = range}, data),
            WireError::kNone);
  client.Send(ClientScript().Request({.flags = kCommandDf, .cookie = 2, .range = range}));
  const auto read = client.NextReply();
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->done);
  EXPECT_TRUE(std::ranges::equal(ConstBytes(read->payload).subspan(8), data));
}

TEST(Probe, A33MiBReadIsFine) {
  TestServer server;
  WireClient client = server.ConnectAndGo(ReplyStyle::kSimple);
  EXPECT_EQ(client.Ask({.command = Command::kRead, .cookie = 1, .range = {0, 33u << 20}}),
            WireError::kNone);
}

TEST(Probe, AZeroLengthReadIsFine) {
  TestServer server;
  for (const ReplyStyle style : {ReplyStyle::kSimple, ReplyStyle::kStructured}) {
    WireClient client = server.ConnectAndGo(style);
    EXPECT_EQ(client.Ask({.command = Command::kRead, .cookie = 1, .range = {512, 0}}),
              WireError::kNone);
  }
}

TEST(Probe, AStructuredReadPastTheEndIsAnErrorChunk) {
  TestServer server;
  WireClient client = server.ConnectAndGo(ReplyStyle::kStructured);
  client.Send(ClientScript().Request({.cookie = 1, .range = {TestServer::kDiskBytes, 1}}));
  const auto reply = client.NextReply();
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->structured);
  EXPECT_EQ(reply->error, WireError::kInvalid);
}

TEST(Probe, ADfReadOf16MiBIsOneChunk) {
  TestServer server;
  WireClient client = server.ConnectAndGo(ReplyStyle::kStructured);
  client.Send(ClientScript().Request({.flags = kCommandDf, .cookie = 1, .range = {0, 16u << 20}}));
  const auto reply = client.NextReply();
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->done);
  EXPECT_EQ(reply->payload.size(), 8u + (16u << 20));
}

TEST(Probe, ASilentClientIsDisconnectedAfterTheHandshakeTime) {
  ServerOptions options;
  options.limits.handshake_timeout = std::chrono::milliseconds(50);
  TestServer server(options);
  WireClient silent = server.Connect();
  EXPECT_TRUE(silent.Greeting());
  EXPECT_TRUE(silent.AtEnd());
  WireClient halfway = server.Connect();
  halfway.Send(ClientScript().Flags().Option(OptionCode::kList).OptionHeader(7, 1000));
  EXPECT_TRUE(halfway.Greeting());
  EXPECT_TRUE(halfway.NextOptionReply());
  EXPECT_TRUE(halfway.NextOptionReply());
  EXPECT_TRUE(halfway.AtEnd());
}

TEST(Probe, EveryOptionOneByteAtATime) {
  TestServer server;
  WireClient client = server.Connect();
  ClientScript script;
  script.Flags()
      .Option(OptionCode::kList)
      .Option(OptionCode::kStartTls)
      .Option(OptionCode::kStructuredReply)
      .Option(OptionCode::kExtendedHeaders)
      .UseExtendedHeaders()
      .MetaContext(OptionCode::kListMetaContext, "disk", {})
      .MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"})
      .Info(OptionCode::kInfo, "disk", {InfoType::kName})
      .Go("disk")
      .Request({.command = Command::kBlockStatus, .cookie = 7, .range = {0, 4096}});
  for (const std::byte byte : script.bytes()) EXPECT_TRUE(client.Send(ConstBytes(&byte, 1)));
  EXPECT_TRUE(client.Greeting());
  const OptionReply expected[] = {
      OptionReply::kServer,      OptionReply::kAck,  OptionReply::kErrPolicy,
      OptionReply::kAck,         OptionReply::kAck,  OptionReply::kMetaContext,
      OptionReply::kMetaContext, OptionReply::kAck,  OptionReply::kMetaContext,
      OptionReply::kAck,         OptionReply::kInfo, OptionReply::kInfo,
      OptionReply::kAck,         OptionReply::kInfo, OptionReply::kAck};
  for (const OptionReply type : expected) {
    const auto reply = client.NextOptionReply();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->type, type);
  }
  EXPECT_EQ(client.NextReply()->type, ChunkType::kBlockStatusExtended);
}

TEST(Probe, ConnectionsSeeEachOthersWrites) {
  TestServer server;
  WireClient writer = server.ConnectAndGo(ReplyStyle::kSimple);
  WireClient reader = server.ConnectAndGo(ReplyStyle::kStructured);
  for (uint64_t round = 1; round <= 200; ++round) {
    const std::vector<std::byte> data(512, static_cast<std::byte>(round));
    const ByteRange range{round * 100, data.size()};
    ASSERT_EQ(writer.Ask({.command = Command::kWrite, .cookie = round, .range = range}, data),
              WireError::kNone);
    reader.Send(ClientScript().Request({.cookie = round, .range = range}));
    const auto read = reader.NextReply();
    ASSERT_TRUE(read);
    ASSERT_TRUE(std::ranges::equal(ConstBytes(read->payload).subspan(8), data));
  }
}

}  // namespace
}  // namespace mica::nbd
