// SPDX-License-Identifier: Apache-2.0
// The data commands over a stream in memory: what reaches the device, and what comes back.
#include "nbd/transmission.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "nbd/session.h"
#include "nbd/testing/conversation.h"
#include "nbd/testing/memory_stream.h"

namespace mica::nbd {
namespace {

using Call = MemoryDevice::Call;
using Operation = MemoryDevice::Operation;

std::vector<std::byte> Pattern(size_t count, uint64_t seed) {
  Prng prng(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.Below(255) + 1);
  return bytes;
}

class Transmit : public testing::Test {
 protected:
  // Runs `requests` behind a negotiation; the answers start at the first reply.
  ServerScript Run(const ClientScript& requests, ReplyStyle style, size_t receive_max = SIZE_MAX) {
    ClientScript script;
    script.GoInStyle(style, "disk").Raw(requests.bytes());
    ServerScript answer = talk_.Answers(script, receive_max);
    EXPECT_TRUE(answer.Greeting());
    const int option_replies = ClientScript::OptionRepliesOfGo(style);
    for (int i = 0; i < option_replies; ++i) EXPECT_TRUE(answer.NextOptionReply());
    return answer;
  }
  static ClientScript In(ReplyStyle style) {
    ClientScript script;
    if (style == ReplyStyle::kExtended) script.UseExtendedHeaders();
    return script;
  }
  // The error of one request on its own.
  WireError ErrorOf(const Request& request, ReplyStyle style = ReplyStyle::kStructured) {
    ServerScript answer = Run(In(style).Request(request), style);
    const auto reply = answer.NextReply(request.range.length);
    return reply ? reply->error : WireError{999};
  }
  Conversation talk_;
};

constexpr ReplyStyle kAllStyles[] = {ReplyStyle::kSimple, ReplyStyle::kStructured,
                                     ReplyStyle::kExtended};

TEST_F(Transmit, WhatIsWrittenIsRead) {
  for (const ReplyStyle style : kAllStyles) {
    for (const size_t receive_max : {size_t{1}, size_t{1000}, SIZE_MAX}) {
      for (const size_t length : {size_t{1}, size_t{511}, size_t{4096}, size_t{100'000}}) {
        const auto data = Pattern(length, length);
        ServerScript answer =
            Run(In(style).Write(1, 12'345, data).Request({.command = Command::kFlush, .cookie = 2}),
                style, receive_max);
        EXPECT_EQ(answer.NextReply()->error, WireError::kNone);
        EXPECT_EQ(answer.NextReply()->cookie, 2u);
        ServerScript back = Run(
            In(style).Request({.command = Command::kRead, .cookie = 3, .range = {12'345, length}}),
            style);
        const auto read = back.NextReply(length);
        ASSERT_TRUE(read);
        EXPECT_EQ(read->structured, style != ReplyStyle::kSimple);
        EXPECT_EQ(read->extended, style == ReplyStyle::kExtended);
        const size_t head = read->structured ? 8 : 0;
        EXPECT_TRUE(std::ranges::equal(ConstBytes(read->payload).subspan(head), data));
      }
    }
  }
}

TEST_F(Transmit, FlagsReachTheDevice) {
  talk_.device.KeepCalls();
  const ByteRange range{4096, 8192};
  Run(ClientScript()
          .Write(1, 0, Pattern(10, 1), kCommandFua)
          .Request({.flags = kCommandFua, .command = Command::kTrim, .range = range})
          .Request({.command = Command::kWriteZeroes, .range = range})
          .Request({.flags = kCommandNoHole | kCommandFua,
                    .command = Command::kWriteZeroes,
                    .range = range})
          .Request({.flags = kCommandFua, .command = Command::kFlush})
          .Request({.flags = kCommandFua, .command = Command::kCache, .range = range}),
      ReplyStyle::kSimple);
  const Durability forced = Durability::kForced;
  const std::vector<Call> expected = {
      {.operation = Operation::kWrite, .range = {0, 10}, .durability = forced},
      {.operation = Operation::kDiscard, .range = range, .durability = forced},
      {.operation = Operation::kWriteZeroes, .range = range},
      {.operation = Operation::kWriteZeroes,
       .range = range,
       .durability = forced,
       .hint = ZeroHint::kKeepSpace},
      {.operation = Operation::kFlush},
      {.operation = Operation::kRead, .range = range}};
  EXPECT_EQ(talk_.device.calls(), expected);
}

TEST_F(Transmit, ZeroLengthSucceedsWithoutTheDevice) {
  talk_.device.KeepCalls();
  for (const Command command :
       {Command::kRead, Command::kWrite, Command::kTrim, Command::kCache, Command::kWriteZeroes}) {
    for (const ReplyStyle style : kAllStyles) {
      EXPECT_EQ(ErrorOf({.command = command, .range = {4096, 0}}, style), WireError::kNone);
    }
  }
  EXPECT_TRUE(talk_.device.calls().empty());
}

TEST_F(Transmit, AStructuredReadNeverGetsASimpleReply) {
  talk_.device.FailWith(Error{Errc::kIo, "a host path nobody should see"});
  for (const uint64_t offset : {uint64_t{0}, Conversation::kDiskBytes, UINT64_MAX}) {
    ServerScript answer = Run(
        ClientScript().Request({.command = Command::kRead, .cookie = 3, .range = {offset, 4096}}),
        ReplyStyle::kStructured);
    const auto reply = answer.NextReply();
    ASSERT_TRUE(reply);
    EXPECT_TRUE(reply->structured);
    EXPECT_EQ(reply->type, ChunkType::kError);
    EXPECT_EQ(AsText(reply->payload).find("host path"), std::string_view::npos);
    EXPECT_TRUE(answer.empty());
  }
  EXPECT_TRUE(talk_.log.Mentions("a host path nobody should see"));
}

TEST_F(Transmit, ErrorsOfTheDeviceAreMapped) {
  const Request request{.command = Command::kTrim, .range = {0, 4096}};
  talk_.device.FailWith(Error{Errc::kNoSpace, "full"});
  EXPECT_EQ(ErrorOf(request), WireError::kNoSpace);
  talk_.device.FailWith(Error{Errc::kCorrupt, "bad checksum"});
  EXPECT_EQ(ErrorOf(request), WireError::kIo);
}

TEST_F(Transmit, RefusedWritesKeepTheStreamInSync) {
  const auto data = Pattern(200'000, 1);
  ServerScript answer = Run(ClientScript()
                                .Write(1, Conversation::kDiskBytes, data)
                                .Write(2, 0, data, kCommandDf)
                                .Write(3, 0, data),
                            ReplyStyle::kSimple, 5000);
  EXPECT_EQ(answer.NextReply()->error, WireError::kNoSpace);
  EXPECT_EQ(answer.NextReply()->error, WireError::kInvalid);
  EXPECT_EQ(answer.NextReply()->error, WireError::kNone);
}

TEST_F(Transmit, OversizedWritesDisconnectOversizedReadsDoNot) {
  ServerScript answer = Run(
      ClientScript()
          .Request({.command = Command::kRead, .cookie = 1, .range = {0, kPayloadBytesMax + 1}})
          .Request({.command = Command::kWrite, .cookie = 2, .range = {0, kPayloadBytesMax + 1}}),
      ReplyStyle::kSimple);
  EXPECT_EQ(answer.NextReply()->error, WireError::kInvalid);
  EXPECT_TRUE(answer.empty());
  EXPECT_TRUE(talk_.log.Mentions("dropped"));
}

TEST_F(Transmit, UnknownCommandsAndMagicNumbers) {
  EXPECT_EQ(ErrorOf({.command = Command{9}}), WireError::kInvalid);
  const std::string junk(64, 'j');
  EXPECT_TRUE(Run(ClientScript().Raw(AsBytes(junk)), ReplyStyle::kSimple).empty());
  EXPECT_TRUE(talk_.log.Mentions("no request where one was expected"));
}

TEST_F(Transmit, DisconnectFinishesWhatIsOutstanding) {
  ClientScript script;
  for (uint64_t cookie = 0; cookie < 64; ++cookie) {
    script.Request({.command = Command::kRead, .cookie = cookie, .range = {0, 4096}});
  }
  ServerScript answer =
      Run(script.Disconnect().Request({.command = Command::kFlush}), ReplyStyle::kSimple);
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(answer.NextReply(4096));
  EXPECT_TRUE(answer.empty());
}

TEST_F(Transmit, BlockStatusDescribesTheRange) {
  Run(ClientScript().Write(1, 8192, Pattern(4096, 1)), ReplyStyle::kSimple);
  ServerScript answer =
      Run(ClientScript()
              .Request({.command = Command::kBlockStatus, .cookie = 1, .range = {4096, 100'000}})
              .Request({.flags = kCommandReqOne,
                        .command = Command::kBlockStatus,
                        .cookie = 2,
                        .range = {4096, 100'000}}),
          ReplyStyle::kStructured);
  const auto all = answer.NextReply();
  ASSERT_TRUE(all);
  EXPECT_EQ(all->type, ChunkType::kBlockStatus);
  EXPECT_TRUE(all->done);
  ASSERT_EQ(all->payload.size(), 4u + 3 * 8);
  EXPECT_EQ(LoadBe<uint32_t>(all->payload, 0), 1u);
  EXPECT_EQ(LoadBe<uint32_t>(all->payload, 4), 4096u);
  EXPECT_EQ(LoadBe<uint32_t>(all->payload, 8), kStateHole | kStateZero);
  EXPECT_EQ(LoadBe<uint32_t>(all->payload, 12), 4096u);
  EXPECT_EQ(LoadBe<uint32_t>(all->payload, 16), 0u);
  EXPECT_EQ(LoadBe<uint32_t>(all->payload, 20), 100'000u - 8192);
  const auto one = answer.NextReply();
  ASSERT_TRUE(one);
  EXPECT_EQ(one->payload.size(), 4u + 8);
}

// A client that sends and never reads is not read from once its budget is used up.
TEST_F(Transmit, TheBudgetBoundsWhatIsInFlight) {
  talk_.device.Hold();
  ClientScript script;
  script.Flags().Go("disk");
  for (uint64_t cookie = 0; cookie < 20'000; ++cookie) {
    script.Request({.command = Command::kRead, .cookie = cookie, .range = {0, 4096}});
  }
  auto [client, server] = MemoryStream::MakePair(talk_.loop, 4096);
  Session session(talk_.context, std::move(server), "greedy client");
  bool ended = false;
  struct Body {
    static Task<void> Send(Stream& stream, ConstBytes bytes) {
      (void)co_await stream.Send(std::span(&bytes, 1));
    }
    static Task<void> Serve(Session& served, bool& done) {
      co_await served.Run();
      done = true;
    }
  };
  talk_.loop.Spawn(Body::Serve(session, ended));
  talk_.loop.Spawn(Body::Send(*client, script.bytes()));
  const EventLoop::Time later = talk_.loop.Now() + std::chrono::seconds(5);
  SyncWait(talk_.loop, talk_.loop.SleepUntil(later));
  EXPECT_EQ(talk_.device.waiting(), talk_.options.limits.in_flight_requests_max);
  client->Abort();
  talk_.device.LetGo();
  talk_.loop.RunUntil([&] { return ended; });
}

// "Extended reply chunk message": nothing but extended replies, each with its request's offset.
TEST_F(Transmit, ExtendedHeadersGetOnlyExtendedReplies) {
  const auto data = Pattern(4096, 5);
  constexpr uint64_t kLong = Conversation::kDiskBytes;
  ServerScript answer =
      Run(In(ReplyStyle::kExtended)
              .Write(1, 8192, data)
              .Request({.command = Command::kFlush, .cookie = 2, .range = {77, 0}})
              .Request({.command = Command::kTrim, .cookie = 3, .range = {0, kLong}})
              .Request({.command = Command::kWriteZeroes, .cookie = 4, .range = {0, kLong}})
              .Request({.command = Command::kRead, .cookie = 5, .range = {100, 1}})
              .Request({.command = Command::kRead, .cookie = 6, .range = {kLong, 1}})
              .Request({.command = Command::kTrim, .cookie = 7, .range = {0, uint64_t{1} << 40}}),
          ReplyStyle::kExtended, 50);
  const uint64_t offsets[] = {8192, 77, 0, 0, 100, kLong, 0};
  for (uint64_t i = 0; i < std::size(offsets); ++i) {
    const auto reply = answer.NextReply();
    ASSERT_TRUE(reply);
    EXPECT_TRUE(reply->extended);
    EXPECT_TRUE(reply->done);
    ASSERT_GE(reply->cookie, 1u);
    EXPECT_EQ(reply->request_offset, offsets[reply->cookie - 1]);
    EXPECT_EQ(reply->error != WireError::kNone, reply->cookie >= 6) << reply->cookie;
  }
  EXPECT_TRUE(answer.empty());
}

TEST_F(Transmit, UnexpectedPayloadsAreSwallowed) {
  const auto data = Pattern(5000, 5);
  ClientScript script = In(ReplyStyle::kExtended);
  for (const Command command : {Command::kRead, Command::kTrim, Command::kFlush, Command::kCache,
                                Command::kWriteZeroes, Command{8}, Command{100}}) {
    script.Request(
        {.flags = kCommandPayloadLen, .command = command, .cookie = 1, .range = {0, 5000}});
    script.Raw(data);
  }
  ServerScript answer =
      Run(script.Request({.cookie = 2, .range = {0, 1}}), ReplyStyle::kExtended, 333);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(answer.NextReply()->error, WireError::kInvalid);
  EXPECT_EQ(answer.NextReply()->cookie, 2u);
}

// The flag is a must for clients, but the data is there, and libnbd's own tests leave it out.
TEST_F(Transmit, AWriteMayForgetThatItHasAPayload) {
  const auto data = Pattern(4096, 5);
  std::array<std::byte, kExtendedRequestBytes> bare;
  EncodeExtendedRequest(bare, {.command = Command::kWrite, .cookie = 1, .range = {512, 4096}});
  ClientScript script = In(ReplyStyle::kExtended);
  script.Raw(bare).Raw(data).Request({.cookie = 2, .range = {512, 4096}});
  ServerScript answer = Run(script, ReplyStyle::kExtended, 333);
  EXPECT_EQ(answer.NextReply()->error, WireError::kNone);
  const auto read = answer.NextReply();
  ASSERT_TRUE(read);
  EXPECT_TRUE(std::ranges::equal(ConstBytes(read->payload).subspan(8), data));
}

TEST_F(Transmit, PayloadsThatCannotBeFramedDisconnect) {
  for (const uint16_t flags : {uint16_t{0}, kCommandPayloadLen}) {
    std::array<std::byte, kExtendedRequestBytes> huge;
    EncodeExtendedRequest(huge, {.flags = flags,
                                 .command = flags == 0 ? Command::kWrite : Command::kTrim,
                                 .range = {0, UINT64_MAX}});
    EXPECT_TRUE(Run(ClientScript().Raw(huge), ReplyStyle::kExtended).empty());
    EXPECT_TRUE(talk_.log.Mentions("bytes of payload"));
    talk_.log.lines.clear();
  }
  const Request compact{.cookie = 3, .range = {0, 1}};  // the wrong magic number
  EXPECT_TRUE(Run(ClientScript().Request(compact), ReplyStyle::kExtended).empty());
  EXPECT_TRUE(Run(In(ReplyStyle::kExtended).Request(compact), ReplyStyle::kSimple).empty());
}

class Stopping : public testing::Test {
 protected:
  void Start() {
    auto [client, server] = MemoryStream::MakePair(talk_.loop, 1u << 20);
    client_ = std::move(client);
    session_.emplace(talk_.context, std::move(server), "client");
    talk_.loop.Spawn(Serve(*session_, ended_));
  }
  void Send(const ClientScript& script) {
    const ConstBytes bytes = script.bytes();
    EXPECT_TRUE(SyncWait(talk_.loop, client_->Send(std::span(&bytes, 1))));
    SyncWait(talk_.loop, talk_.loop.SleepUntil(talk_.loop.Now() + std::chrono::milliseconds(1)));
  }
  ServerScript Received() {
    std::vector<std::byte> all;
    std::vector<std::byte> part(1u << 20);
    for (;;) {
      const Result<size_t> count = SyncWait(talk_.loop, client_->Receive(part));
      if (!count || *count == 0) break;
      all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(*count));
    }
    ServerScript script(std::move(all));
    EXPECT_TRUE(script.Greeting());
    while (script.NextOptionReply()) continue;
    return script;
  }
  static Task<void> Serve(Session& session, bool& ended) {
    co_await session.Run();
    ended = true;
  }

  Conversation talk_;
  std::unique_ptr<MemoryStream> client_;
  std::optional<Session> session_;
  bool ended_ = false;
};

TEST_F(Stopping, IdleConnectionsEndAtOnce) {
  Start();
  Send(ClientScript().Flags().Go("disk"));
  session_->BeginStop();
  talk_.loop.RunUntil([&] { return ended_; });
  EXPECT_TRUE(Received().empty());
  EXPECT_LT(talk_.loop.Now(), std::chrono::seconds(1));
}

TEST_F(Stopping, NegotiatingConnectionsEndAtOnce) {
  Start();
  session_->BeginStop();
  talk_.loop.RunUntil([&] { return ended_; });
  EXPECT_LT(talk_.loop.Now(), std::chrono::seconds(1));
}

TEST_F(Stopping, OutstandingRequestsAreAnsweredNewOnesRefused) {
  talk_.device.Hold();
  Start();
  Send(ClientScript().Flags().Go("disk").Write(1, 0, Pattern(4096, 1)));
  session_->BeginStop();
  Send(ClientScript()
           .Write(2, 0, Pattern(4096, 2))
           .Request({.command = Command::kRead, .cookie = 3, .range = {0, 4096}}));
  EXPECT_FALSE(ended_);
  talk_.device.LetGo();
  talk_.loop.RunUntil([&] { return ended_; });
  ServerScript answer = Received();
  for (const auto& [cookie, error] :
       {std::pair{2u, WireError::kShutdown}, std::pair{3u, WireError::kShutdown},
        std::pair{1u, WireError::kNone}}) {
    const auto reply = answer.NextReply();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->cookie, cookie);
    EXPECT_EQ(reply->error, error);
  }
  EXPECT_TRUE(answer.empty());
}

TEST_F(Stopping, AWriteThatHasBegunToArriveFinishes) {
  Start();
  const auto data = Pattern(100'000, 3);
  ClientScript write;
  write.Write(1, 0, data);
  ClientScript first_half;
  first_half.Flags().Go("disk").Raw(ConstBytes(write.bytes()).first(50'000));
  Send(first_half);
  session_->BeginStop();
  ClientScript second_half;
  Send(second_half.Raw(ConstBytes(write.bytes()).subspan(50'000)));
  talk_.loop.RunUntil([&] { return ended_; });
  ServerScript answer = Received();
  const auto reply = answer.NextReply();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->error, WireError::kNone);
}

}  // namespace
}  // namespace mica::nbd
