// SPDX-License-Identifier: Apache-2.0
// Whole conversations, byte for byte, over a stream in memory.
#include "nbd/negotiation.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "nbd/session.h"
#include "nbd/testing/conversation.h"
#include "nbd/testing/memory_stream.h"

namespace mica::nbd {
namespace {

OptionReply TypeOf(const std::optional<ReceivedOptionReply>& reply) {
  return reply ? reply->type : OptionReply{};
}

TEST(Negotiation, GreetsAndForgetsAClientThatLeaves) {
  Conversation talk;
  ServerScript answer = talk.Answers(ClientScript());
  EXPECT_TRUE(answer.Greeting());
  EXPECT_TRUE(answer.empty());
  EXPECT_TRUE(talk.log.lines.empty());  // a port scan is harmless
}

TEST(Negotiation, DropsClientFlagsItDidNotOffer) {
  for (unsigned bit = 2; bit < 32; ++bit) {
    Conversation talk;
    ServerScript answer = talk.Answers(
        ClientScript().Flags(kUsualClientFlags | (1u << bit)).Option(OptionCode::kList));
    EXPECT_TRUE(answer.Greeting());
    EXPECT_TRUE(answer.empty()) << "bit " << bit;
    EXPECT_TRUE(talk.log.Mentions("dropped"));
  }
}

TEST(Negotiation, ExportNameAnswersWithAndWithoutZeroes) {
  for (const bool no_zeroes : {false, true}) {
    Conversation talk;
    const uint32_t flags = no_zeroes ? kUsualClientFlags : kClientFlagFixedNewstyle;
    ServerScript answer = talk.Answers(ClientScript().Flags(flags).ExportName("disk"));
    EXPECT_TRUE(answer.Greeting());
    const auto info = answer.Take(10);
    ASSERT_TRUE(info);
    EXPECT_EQ(LoadBe<uint64_t>(*info, 0), Conversation::kDiskBytes);
    EXPECT_EQ(LoadBe<uint16_t>(*info, 8) & kFlagSendDf, 0);
    EXPECT_TRUE(answer.Take(no_zeroes ? 0 : 124));
    EXPECT_TRUE(answer.empty());
  }
}

TEST(Negotiation, ExportNameDropsWhatItCannotServe) {
  for (const std::string& name : {std::string("other"), std::string(4097, 'd')}) {
    Conversation talk;
    ServerScript answer = talk.Answers(ClientScript().Flags().ExportName(name));
    EXPECT_TRUE(answer.Greeting());
    EXPECT_TRUE(answer.empty());
    EXPECT_TRUE(talk.log.Mentions("dropped"));
  }
}

TEST(Negotiation, PlainNewstyleClientsMayOnlyNameAnExport) {
  Conversation talk;
  EXPECT_TRUE(talk.Answers(ClientScript().Flags(0).ExportName("disk")).Take(18 + 10 + 124));
  Conversation other;
  ServerScript answer = other.Answers(ClientScript().Flags(0).Option(OptionCode::kList));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_TRUE(answer.empty());
}

TEST(Negotiation, AbortIsAcknowledgedEvenWithData) {
  Conversation talk;
  ServerScript answer = talk.Answers(
      ClientScript().Flags().Option(OptionCode::kAbort, AsBytes("bye")).Option(OptionCode::kList));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_TRUE(answer.empty());
}

TEST(Negotiation, ListsExportsUnlessHidden) {
  Conversation talk;
  ASSERT_TRUE(talk.exports.Add(Export("second", talk.device)));
  ServerScript answer = talk.Answers(ClientScript().Flags().Option(OptionCode::kList));
  EXPECT_TRUE(answer.Greeting());
  const auto first = answer.NextOptionReply();
  EXPECT_EQ(TypeOf(first), OptionReply::kServer);
  EXPECT_EQ(AsText(first->payload).substr(4), "disk");
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kServer);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);

  ServerOptions options;
  options.listing = NameListing::kHidden;
  Conversation hidden(options);
  ServerScript refused = hidden.Answers(ClientScript().Flags().Option(OptionCode::kList));
  EXPECT_TRUE(refused.Greeting());
  EXPECT_EQ(TypeOf(refused.NextOptionReply()), OptionReply::kErrPolicy);
}

TEST(Negotiation, ListsTenThousandExports) {
  Conversation talk;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(talk.exports.Add(Export(std::to_string(i), talk.device)));
  }
  ServerScript answer = talk.Answers(ClientScript().Flags().Option(OptionCode::kList));
  EXPECT_TRUE(answer.Greeting());
  for (int i = 0; i < 10'001; ++i) {
    ASSERT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kServer);
  }
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
}

TEST(Negotiation, UnknownOptionsAreSwallowedAndRefused) {
  const std::string junk(50'000, 'j');
  for (const uint32_t code : {0u, 4u, 12u, 0x7fffffffu, 0xffffffffu}) {
    Conversation talk;
    ServerScript answer = talk.Answers(
        ClientScript().Flags().Option(OptionCode{code}, AsBytes(junk)).Option(OptionCode::kAbort),
        777);
    EXPECT_TRUE(answer.Greeting());
    const auto refused = answer.NextOptionReply();
    EXPECT_EQ(TypeOf(refused), OptionReply::kErrUnsup) << code;
    EXPECT_EQ(refused->option, OptionCode{code});
    EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  }
}

TEST(Negotiation, TooManyOptionsEndTheConnection) {
  Conversation talk;
  ClientScript script;
  script.Flags();
  for (int i = 0; i < 2000; ++i) script.OptionHeader(77, 0);
  ServerScript answer = talk.Answers(script);
  EXPECT_TRUE(answer.Greeting());
  for (uint32_t i = 0; i < talk.options.limits.options_max; ++i) {
    EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrUnsup);
  }
  EXPECT_TRUE(answer.empty());
  EXPECT_TRUE(talk.log.Mentions("more than 32 options"));
}

TEST(Negotiation, AClientMayAskAboutEveryExportItWasToldOf) {
  Conversation talk;
  ClientScript script;
  script.Flags().Option(OptionCode::kList);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(talk.exports.Add(Export(std::to_string(i), talk.device)));
    script.MetaContext(OptionCode::kListMetaContext, std::to_string(i), {});
    script.Info(OptionCode::kInfo, std::to_string(i));
  }
  ServerScript answer = talk.Answers(script.Option(OptionCode::kAbort));
  EXPECT_TRUE(answer.Greeting());
  size_t acknowledged = 0;
  while (const auto reply = answer.NextOptionReply()) {
    acknowledged += reply->type == OptionReply::kAck ? 1 : 0;
  }
  EXPECT_EQ(acknowledged, 1u + 200 + 1);
}

TEST(Negotiation, HugeOptionsEndTheConnection) {
  for (const uint32_t length : {Negotiation::kOptionPayloadMax + 1, 1u << 31, UINT32_MAX}) {
    for (const uint32_t code : {1u, 2u, 7u, 10u, 99u}) {
      Conversation talk;
      ServerScript answer = talk.Answers(ClientScript().Flags().OptionHeader(code, length));
      EXPECT_TRUE(answer.Greeting());
      EXPECT_TRUE(answer.empty());
      EXPECT_TRUE(talk.log.Mentions("dropped"));
    }
  }
}

TEST(Negotiation, WrongOptionMagicEndsTheConnection) {
  Conversation talk;
  const std::string junk(64, 'j');
  ServerScript answer = talk.Answers(ClientScript().Flags().Raw(AsBytes(junk)));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_TRUE(answer.empty());
}

TEST(Negotiation, ASlowHandshakeEnds) {
  Conversation talk;
  auto [client, server] = MemoryStream::MakePair(talk.loop, 1000);
  Session session(talk.context, std::move(server), "slow client");
  SyncWait(talk.loop, session.Run());  // the client says nothing at all
  EXPECT_EQ(talk.loop.Now(), std::chrono::seconds(10));
  EXPECT_TRUE(talk.log.Mentions("the handshake took too long"));
}

TEST(Negotiation, InfoAndGoTellTheSame) {
  Conversation talk;
  Export described("described", talk.device);
  described.description = "what it is";
  ASSERT_TRUE(talk.exports.Add(described));
  const std::initializer_list<InfoType> infos = {InfoType::kName, InfoType::kDescription,
                                                 InfoType::kBlockSize, InfoType{4711}};
  ServerScript answer = talk.Answers(ClientScript()
                                         .Flags()
                                         .Info(OptionCode::kInfo, "described", infos)
                                         .Info(OptionCode::kGo, "described", infos));
  EXPECT_TRUE(answer.Greeting());
  std::vector<std::vector<std::byte>> first;
  for (int round = 0; round < 2; ++round) {
    std::vector<std::vector<std::byte>> payloads;
    for (;;) {
      const auto reply = answer.NextOptionReply();
      ASSERT_TRUE(reply);
      if (reply->type == OptionReply::kAck) break;
      ASSERT_EQ(reply->type, OptionReply::kInfo);
      payloads.push_back(reply->payload);
    }
    ASSERT_EQ(payloads.size(), 4u);
    EXPECT_EQ(LoadBe<uint64_t>(payloads[0], 2), Conversation::kDiskBytes);
    EXPECT_EQ(AsText(payloads[1]).substr(2), "described");
    EXPECT_EQ(AsText(payloads[2]).substr(2), "what it is");
    EXPECT_EQ(LoadBe<uint32_t>(payloads[3], 2), 1u);
    EXPECT_EQ(LoadBe<uint32_t>(payloads[3], 6), 4096u);
    EXPECT_EQ(LoadBe<uint32_t>(payloads[3], 10), 32u << 20);
    if (round == 0) first = payloads;
    EXPECT_EQ(payloads, first);
  }
}

TEST(Negotiation, InfoRefusesNamesClearly) {
  Conversation talk;
  ServerScript answer = talk.Answers(ClientScript()
                                         .Flags()
                                         .Info(OptionCode::kInfo, "other")
                                         .Info(OptionCode::kInfo, std::string(4096, 'x'))
                                         .Info(OptionCode::kInfo, std::string(4097, 'x'))
                                         .Info(OptionCode::kGo, std::string("d\0k", 3))
                                         .Go());
  EXPECT_TRUE(answer.Greeting());
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrUnknown);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrUnknown);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrTooBig);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrInvalid);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kInfo);  // "" is the only export
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
}

// Every option, cut or extended at every byte: one reply, and the next option is understood.
TEST(Negotiation, MalformedPayloadsAreRefusedInSync) {
  ClientScript info;
  info.Info(OptionCode::kInfo, "disk", {InfoType::kName});
  ClientScript context;
  context.MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation", "x:y"});
  const struct {
    OptionCode code;
    std::vector<std::byte> whole;
  } cases[] = {{OptionCode::kInfo, info.bytes()},
               {OptionCode::kGo, info.bytes()},
               {OptionCode::kListMetaContext, context.bytes()},
               {OptionCode::kSetMetaContext, context.bytes()}};
  for (const auto& [code, whole] : cases) {
    const ConstBytes payload = ConstBytes(whole).subspan(kOptionHeaderBytes);
    for (size_t length = 0; length <= payload.size() + 3; ++length) {
      if (length == payload.size()) continue;
      std::vector<std::byte> wrong(payload.begin(), payload.end());
      wrong.resize(length);
      Conversation talk;
      ServerScript answer = talk.Answers(ClientScript()
                                             .Flags()
                                             .Option(OptionCode::kStructuredReply)
                                             .Option(code, wrong)
                                             .Option(OptionCode::kAbort));
      EXPECT_TRUE(answer.Greeting());
      EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
      EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrInvalid) << length;
      EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
      EXPECT_TRUE(answer.empty());
    }
  }
}

TEST(Negotiation, DataWhereNoneBelongsIsRefused) {
  for (const OptionCode code :
       {OptionCode::kList, OptionCode::kStructuredReply, OptionCode::kExtendedHeaders}) {
    Conversation talk;
    ServerScript answer =
        talk.Answers(ClientScript().Flags().Option(code, AsBytes("x")).Option(OptionCode::kAbort));
    EXPECT_TRUE(answer.Greeting());
    EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrInvalid);
    EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  }
}

TEST(Negotiation, AskingForStructuredRepliesAgainChangesNothing) {
  Conversation talk;
  ServerScript answer = talk.Answers(ClientScript()
                                         .Flags()
                                         .Option(OptionCode::kStructuredReply)
                                         .Option(OptionCode::kStructuredReply)
                                         .Go("disk"));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrInvalid);
  const auto info = answer.NextOptionReply();
  ASSERT_EQ(TypeOf(info), OptionReply::kInfo);
  EXPECT_NE(LoadBe<uint16_t>(info->payload, 10) & kFlagSendDf, 0);
}

TEST(Negotiation, MetaContextsAreListedAndSelected) {
  Conversation talk;
  ServerScript answer =
      talk.Answers(ClientScript()
                       .Flags()
                       .MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"})
                       .Option(OptionCode::kStructuredReply)
                       .MetaContext(OptionCode::kListMetaContext, "disk", {"base:allocation"})
                       .MetaContext(OptionCode::kListMetaContext, "disk", {"base:", "base:"})
                       .MetaContext(OptionCode::kListMetaContext, "disk", {"other:"})
                       .MetaContext(OptionCode::kSetMetaContext, "disk", {"base:"})
                       .MetaContext(OptionCode::kSetMetaContext, "other", {"base:allocation"})
                       .MetaContext(OptionCode::kSetMetaContext, "disk",
                                    {"x:y", "base:allocation", "base:allocation"}));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrInvalid);  // structured first
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  for (int i = 0; i < 2; ++i) {
    const auto listed = answer.NextOptionReply();
    ASSERT_EQ(TypeOf(listed), OptionReply::kMetaContext);
    EXPECT_EQ(LoadBe<uint32_t>(listed->payload, 0), 0u);
    EXPECT_EQ(AsText(listed->payload).substr(4), "base:allocation");
    EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  }
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrUnknown);
  const auto selected = answer.NextOptionReply();
  ASSERT_EQ(TypeOf(selected), OptionReply::kMetaContext);
  EXPECT_EQ(LoadBe<uint32_t>(selected->payload, 0), 1u);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_TRUE(answer.empty());
}

TEST(Negotiation, ExtendedHeadersTakePrecedence) {
  Conversation talk;
  ServerScript answer =
      talk.Answers(ClientScript()
                       .Flags()
                       .Option(OptionCode::kExtendedHeaders)
                       .Option(OptionCode::kExtendedHeaders)
                       .Option(OptionCode::kStructuredReply)
                       .Info(OptionCode::kInfo, "disk")
                       .MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"})
                       .Info(OptionCode::kInfo, "disk")
                       .ExportName("disk"));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrInvalid);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrExtendedHeadersRequired);
  const auto before = answer.NextOptionReply();
  EXPECT_EQ(LoadBe<uint16_t>(before->payload, 10) & kFlagBlockStatusPayload, 0);
  EXPECT_NE(LoadBe<uint16_t>(before->payload, 10) & kFlagSendDf, 0);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kMetaContext);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  const auto after = answer.NextOptionReply();
  EXPECT_NE(LoadBe<uint16_t>(after->payload, 10) & kFlagBlockStatusPayload, 0);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_TRUE(answer.empty());  // EXPORT_NAME has no error reply
  EXPECT_TRUE(talk.log.Mentions("dropped"));
}

TEST(Negotiation, LongQueriesAreRefused) {
  for (const size_t length : {size_t{4096}, size_t{4097}}) {
    Conversation talk;
    const std::string query(length, 'q');
    ServerScript answer = talk.Answers(
        ClientScript().Flags().MetaContext(OptionCode::kListMetaContext, "disk", {query}));
    EXPECT_TRUE(answer.Greeting());
    EXPECT_EQ(TypeOf(answer.NextOptionReply()),
              length == 4096 ? OptionReply::kAck : OptionReply::kErrTooBig);
  }
}

// What BLOCK_STATUS answers after the script has selected contexts and gone to `name`.
WireError StatusAfter(ClientScript script, std::string_view name) {
  Conversation talk;
  EXPECT_TRUE(talk.exports.Add(Export("twin", talk.device)));
  script.Go(name).Request({.command = Command::kBlockStatus, .cookie = 5, .range = {0, 4096}});
  ServerScript answer = talk.Answers(script);
  EXPECT_TRUE(answer.Greeting());
  while (answer.NextOptionReply()) continue;
  const auto reply = answer.NextReply();
  return reply ? reply->error : WireError{999};
}

TEST(Negotiation, ASelectionCountsForItsExportOnlyAndFailureClearsIt) {
  const auto start = [] {
    ClientScript script;
    script.Flags().Option(OptionCode::kStructuredReply);
    return script.MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"});
  };
  EXPECT_EQ(StatusAfter(start(), "disk"), WireError::kNone);
  EXPECT_EQ(StatusAfter(start(), "twin"), WireError::kInvalid);
  EXPECT_EQ(
      StatusAfter(start().MetaContext(OptionCode::kSetMetaContext, "none", {"base:"}), "disk"),
      WireError::kInvalid);
  EXPECT_EQ(StatusAfter(start().Option(OptionCode::kSetMetaContext), "disk"), WireError::kInvalid);
}

// Whatever order options come in, and however often: each is answered to its end, in its turn.
TEST(Negotiation, OptionsMayComeInAnyOrder) {
  using Add = void (*)(ClientScript&);
  const Add options[] = {
      [](ClientScript& s) { s.Option(OptionCode::kList); },
      [](ClientScript& s) { s.Option(OptionCode::kStructuredReply); },
      [](ClientScript& s) { s.Option(OptionCode::kStartTls); },
      [](ClientScript& s) { s.Option(OptionCode::kExtendedHeaders); },
      [](ClientScript& s) { s.Info(OptionCode::kInfo, "disk", {InfoType::kBlockSize}); },
      [](ClientScript& s) { s.Info(OptionCode::kGo, "other"); },
      [](ClientScript& s) { s.MetaContext(OptionCode::kListMetaContext, "disk", {}); },
      [](ClientScript& s) {
        s.MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"});
      },
      [](ClientScript& s) { s.Option(OptionCode{12345}, AsBytes("junk")); }};
  constexpr uint64_t kOptions = 30;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    Conversation talk;
    ClientScript script;
    script.Flags();
    for (uint64_t i = 0; i < kOptions; ++i) options[prng.Below(std::size(options))](script);
    ServerScript answer = talk.Answers(script.Go("disk"), 1 + prng.Below(100));
    EXPECT_TRUE(answer.Greeting());
    uint64_t ended = 0;
    while (const auto reply = answer.NextOptionReply()) {
      const bool is_last =
          reply->type == OptionReply::kAck || std::to_underlying(reply->type) >= 1u << 31;
      ended += is_last ? 1 : 0;
    }
    EXPECT_EQ(ended, kOptions + 1);
    EXPECT_TRUE(answer.empty());
  }
}

TEST(Negotiation, ConnectionsToAnExportAreLimited) {
  Conversation talk;
  Export none("none", talk.device);
  none.connections_max = 0;
  ASSERT_TRUE(talk.exports.Add(std::move(none)));
  ServerScript answer = talk.Answers(ClientScript().Flags().Go("none").Go("disk"));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrPolicy);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kInfo);
  EXPECT_TRUE(talk.log.Mentions("refused"));
}

}  // namespace
}  // namespace mica::nbd
