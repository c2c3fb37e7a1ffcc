// SPDX-License-Identifier: Apache-2.0
// TLS over a stream in memory, with pre-shared keys. Certificates and stock clients: tests/e2e.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "nbd/session.h"
#include "nbd/testing/conversation.h"
#include "nbd/testing/memory_stream.h"
#include "nbd/tls_stream.h"

namespace mica::nbd {
namespace {

constexpr const char* kAliceKey = "00112233445566778899aabbccddeeff";
constexpr const char* kBobKey = "ffeeddccbbaa99887766554433221100";

OptionReply TypeOf(const std::optional<ReceivedOptionReply>& reply) {
  return reply ? reply->type : OptionReply{};
}

class KeyFile {
 public:
  explicit KeyFile(const std::string& content) {
    std::string name = testing::TempDir() + "mica-psk-XXXXXX";
    const int file = ::mkstemp(name.data());
    path_ = name;
    std::ofstream(path_) << content;
    ::close(file);
  }
  ~KeyFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::shared_ptr<TlsCredentials> ServerKeys() {
  const KeyFile file(std::string("# keys\nalice:") + kAliceKey + "\nbob:" + kBobKey + "\n");
  Result<std::shared_ptr<TlsCredentials>> keys = TlsCredentials::FromPskFile(file.path());
  MICA_CHECK(keys.has_value());
  return *keys;
}

ServerOptions WithTls(TlsMode mode) {
  ServerOptions options;
  options.tls = {.mode = mode, .credentials = ServerKeys()};
  return options;
}

TEST(TlsCredentials, BadKeyFilesAreNamedWithTheLine) {
  EXPECT_FALSE(TlsCredentials::FromPskFile("/does/not/exist"));
  for (const char* const content :
       {"", "# only words\n", "alice\n", "alice:nothex\n", "alice:\n", ":00\n"}) {
    const KeyFile file(content);
    const auto keys = TlsCredentials::FromPskFile(file.path());
    ASSERT_FALSE(keys) << content;
    EXPECT_NE(keys.error().message.find(file.path().native()), std::string::npos);
  }
  const KeyFile second_line("alice:00\nbob\n");
  EXPECT_NE(TlsCredentials::FromPskFile(second_line.path()).error().message.find("line 2"),
            std::string::npos);
}

TEST(TlsCredentials, AFolderWithoutCertificatesSaysWhatIsMissing) {
  const auto made =
      TlsCredentials::FromDirectory(testing::TempDir(), ClientCertificates::kNotAsked);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("ca-cert.pem"), std::string::npos);
}

// A client that can change to TLS in the middle of a conversation.
class TlsConversation : public testing::Test {
 protected:
  void Start(TlsMode mode, size_t receive_max = SIZE_MAX, uint32_t options_max = 32) {
    ServerOptions options = WithTls(mode);
    options.limits.options_max = options_max;
    talk_.emplace(options);
    Export for_alice("for-alice", talk_->device);
    for_alice.clients = {"psk:alice"};
    ASSERT_TRUE(talk_->exports.Add(for_alice));
    auto [client, server] = MemoryStream::MakePair(talk_->loop, 64u << 10, receive_max);
    client_ = std::move(client);
    session_.emplace(talk_->context, std::move(server), "client");
    talk_->loop.Spawn(Serve(*session_, ended_));
    ASSERT_TRUE(ServerScript(Receive(kGreetingBytes)).Greeting());
  }
  void TearDown() override {
    if (!session_) return;
    client_->Abort();
    talk_->loop.RunUntil([&] { return ended_; });
    talk_->loop.RunUntil([&] { return talk_->loop.spawned_tasks() == 0; });
  }
  static Task<void> Serve(Session& session, bool& ended) {
    co_await session.Run();
    ended = true;
  }
  bool Send(const ClientScript& script) {
    const ConstBytes bytes = script.bytes();
    return SyncWait(talk_->loop, client_->Send(std::span(&bytes, 1))).has_value();
  }
  // Fewer when the server closes the connection.
  std::vector<std::byte> Receive(size_t count) {
    std::vector<std::byte> all;
    while (all.size() < count) {
      std::vector<std::byte> part(count - all.size());
      const Result<size_t> got = SyncWait(talk_->loop, client_->Receive(part));
      if (!got || *got == 0) break;
      all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(*got));
    }
    return all;
  }
  OptionReply NextType() {
    std::vector<std::byte> reply = Receive(kOptionReplyHeaderBytes);
    if (reply.size() < kOptionReplyHeaderBytes) return OptionReply{};
    const std::vector<std::byte> payload = Receive(LoadBe<uint32_t>(reply, 16));
    reply.insert(reply.end(), payload.begin(), payload.end());
    last_ = ServerScript(std::move(reply)).NextOptionReply();
    return TypeOf(last_);
  }
  // The client's handshake, after STARTTLS was acknowledged.
  Result<void> Encrypt(const std::string& user, const std::string& key) {
    auto keys = TlsCredentials::ForPskClient(user, key);
    MICA_CHECK(keys.has_value());
    auto tls = TlsStream::Make(talk_->loop, std::move(client_), *keys, TlsSide::kClient);
    MICA_CHECK(tls.has_value());
    TlsStream& stream = **tls;
    client_ = *std::move(tls);
    return SyncWait(talk_->loop, stream.Handshake());
  }
  void StartTls(const std::string& user, const std::string& key) {
    ASSERT_TRUE(Send(ClientScript().Option(OptionCode::kStartTls)));
    ASSERT_EQ(NextType(), OptionReply::kAck);
    ASSERT_TRUE(Encrypt(user, key));
  }

  std::optional<Conversation> talk_;
  std::unique_ptr<Stream> client_;
  std::optional<Session> session_;
  std::optional<ReceivedOptionReply> last_;
  bool ended_ = false;
};

TEST_F(TlsConversation, WhatIsWrittenIsReadWhateverTheCuts) {
  for (const size_t receive_max : {size_t{1}, size_t{1000}, SIZE_MAX}) {
    Start(TlsMode::kRequire, receive_max);
    Send(ClientScript().Flags());
    StartTls("alice", kAliceKey);
    std::vector<std::byte> data(receive_max == 1 ? 5000 : 700'001);
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + 1);
    Send(ClientScript().Go("for-alice"));
    EXPECT_EQ(NextType(), OptionReply::kInfo);
    EXPECT_EQ(NextType(), OptionReply::kAck);
    Send(ClientScript().Write(1, 100, data));
    EXPECT_EQ(Receive(kSimpleReplyBytes).size(), kSimpleReplyBytes);
    Send(ClientScript().Request({.cookie = 2, .range = {100, data.size()}}));
    EXPECT_EQ(Receive(kSimpleReplyBytes).size(), kSimpleReplyBytes);
    EXPECT_EQ(Receive(data.size()), data);
    Send(ClientScript().Disconnect());
    EXPECT_TRUE(Receive(1).empty());  // after an orderly goodbye
    TearDown();
    session_.reset();
    ended_ = false;
  }
}

TEST_F(TlsConversation, RequireRefusesEverythingElseFirst) {
  Start(TlsMode::kRequire);
  Send(ClientScript()
           .Flags()
           .Option(OptionCode::kList)
           .Go("disk")
           .Option(OptionCode::kStructuredReply)
           .Option(OptionCode::kExtendedHeaders)
           .Option(OptionCode{12345})
           .Option(OptionCode::kStartTls, AsBytes("data")));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(NextType(), OptionReply::kErrTlsRequired);
  EXPECT_EQ(NextType(), OptionReply::kErrInvalid);
  StartTls("alice", kAliceKey);
  Send(ClientScript().Option(OptionCode::kStartTls));
  EXPECT_EQ(NextType(), OptionReply::kErrInvalid);  // once is enough
  Send(ClientScript().Option(OptionCode::kAbort));
  EXPECT_EQ(NextType(), OptionReply::kAck);
}

TEST_F(TlsConversation, ExportNameInClearIsDropped) {
  Start(TlsMode::kRequire);
  Send(ClientScript().Flags().ExportName("disk"));
  EXPECT_EQ(NextType(), OptionReply{});
  EXPECT_TRUE(talk_->log.Mentions("dropped"));
}

TEST_F(TlsConversation, AllowServesBoth) {
  Start(TlsMode::kAllow);
  Send(ClientScript().Flags().Go("disk"));
  EXPECT_EQ(NextType(), OptionReply::kInfo);
}

TEST_F(TlsConversation, OffRefusesPolitely) {
  Start(TlsMode::kOff);
  Send(ClientScript().Flags().Option(OptionCode::kStartTls).Go("disk"));
  EXPECT_EQ(NextType(), OptionReply::kErrPolicy);
  EXPECT_EQ(NextType(), OptionReply::kInfo);
}

TEST_F(TlsConversation, WhatWasAgreedInClearIsForgotten) {
  Start(TlsMode::kAllow);
  Send(ClientScript()
           .Flags()
           .Option(OptionCode::kExtendedHeaders)
           .MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"}));
  EXPECT_EQ(NextType(), OptionReply::kAck);
  EXPECT_EQ(NextType(), OptionReply::kMetaContext);
  EXPECT_EQ(NextType(), OptionReply::kAck);
  StartTls("alice", kAliceKey);
  Send(ClientScript().MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"}));
  EXPECT_EQ(NextType(), OptionReply::kErrInvalid);  // replies are simple again
  Send(ClientScript().Go("disk").Request({.cookie = 5, .range = {0, 4096}}));
  ASSERT_EQ(NextType(), OptionReply::kInfo);
  EXPECT_EQ(LoadBe<uint16_t>(last_->payload, 10) & (kFlagSendDf | kFlagBlockStatusPayload), 0);
  EXPECT_EQ(NextType(), OptionReply::kAck);
  const std::vector<std::byte> reply = Receive(kSimpleReplyBytes);
  ASSERT_EQ(reply.size(), kSimpleReplyBytes);
  EXPECT_EQ(LoadBe<uint32_t>(reply, 0), kSimpleReplyMagic);
}

TEST_F(TlsConversation, DataSmuggledBehindStartTlsIsDropped) {
  Start(TlsMode::kAllow);
  Send(ClientScript().Flags().Option(OptionCode::kStartTls).Go("disk"));
  EXPECT_EQ(NextType(), OptionReply{});  // not even the acknowledgement
  EXPECT_TRUE(talk_->log.Mentions("data behind STARTTLS"));
}

TEST_F(TlsConversation, PlainTextAfterTheAcknowledgementIsDropped) {
  Start(TlsMode::kAllow);
  Send(ClientScript().Flags().Option(OptionCode::kStartTls));
  EXPECT_EQ(NextType(), OptionReply::kAck);
  Send(ClientScript().Go("disk"));
  while (!Receive(1).empty()) continue;  // an alert at most
  talk_->loop.RunUntil([&] { return ended_; });
  EXPECT_TRUE(talk_->log.Mentions("TLS handshake"));
  EXPECT_FALSE(talk_->log.Mentions("uses export"));
}

TEST_F(TlsConversation, WrongKeysAndUnknownUsersLookTheSame) {
  for (const auto& [user, key] : {std::pair{"alice", kBobKey}, std::pair{"mallory", kAliceKey}}) {
    Start(TlsMode::kRequire);
    Send(ClientScript().Flags().Option(OptionCode::kStartTls));
    EXPECT_EQ(NextType(), OptionReply::kAck);
    const Result<void> encrypted = Encrypt(user, key);
    // With TLS 1.3 the client may be done before the server has found out.
    if (encrypted) {
      Send(ClientScript().Go("disk"));
      EXPECT_EQ(NextType(), OptionReply{});
    }
    talk_->loop.RunUntil([&] { return ended_; });
    EXPECT_TRUE(talk_->log.Mentions("TLS handshake")) << user;
    TearDown();
    session_.reset();
    ended_ = false;
  }
}

TEST_F(TlsConversation, ExportsAreForTheClientsTheyName) {
  Start(TlsMode::kAllow);
  Send(ClientScript().Flags().Info(OptionCode::kInfo, "for-alice").Option(OptionCode::kList));
  EXPECT_EQ(NextType(), OptionReply::kErrTlsRequired);
  EXPECT_EQ(NextType(), OptionReply::kServer);  // "disk" only
  EXPECT_EQ(NextType(), OptionReply::kAck);
  StartTls("bob", kBobKey);
  Send(ClientScript()
           .Go("for-alice")
           .MetaContext(OptionCode::kListMetaContext, "for-alice", {})
           .Option(OptionCode::kList));
  EXPECT_EQ(NextType(), OptionReply::kErrUnknown);
  EXPECT_EQ(NextType(), OptionReply::kErrUnknown);
  EXPECT_EQ(NextType(), OptionReply::kServer);
  EXPECT_EQ(NextType(), OptionReply::kAck);
  Send(ClientScript().ExportName("for-alice"));
  EXPECT_EQ(NextType(), OptionReply{});
}

TEST_F(TlsConversation, ASlowHandshakeEnds) {
  Start(TlsMode::kRequire);
  Send(ClientScript().Flags().Option(OptionCode::kStartTls));
  EXPECT_EQ(NextType(), OptionReply::kAck);
  talk_->loop.RunUntil([&] { return ended_; });  // the client says nothing more
  EXPECT_EQ(talk_->loop.Now(), std::chrono::seconds(10));
  EXPECT_TRUE(talk_->log.Mentions("the handshake took too long"));
}

// Every option cut or extended at every byte, twice, before and behind STARTTLS: one reply each,
// and the next option is understood.
TEST_F(TlsConversation, MalformedOptionsStayInSync) {
  ClientScript info;
  info.Info(OptionCode::kInfo, "disk", {InfoType::kName});
  ClientScript context;
  context.MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation", "x:y"});
  const auto all_cuts = [&] {
    for (const auto& [code, whole] :
         {std::pair{OptionCode::kInfo, &info}, std::pair{OptionCode::kGo, &info},
          std::pair{OptionCode::kListMetaContext, &context},
          std::pair{OptionCode::kSetMetaContext, &context}}) {
      const ConstBytes payload = ConstBytes(whole->bytes()).subspan(kOptionHeaderBytes);
      for (size_t length = 0; length <= payload.size() + 3; ++length) {
        if (length == payload.size()) continue;
        std::vector<std::byte> wrong(payload.begin(), payload.end());
        wrong.resize(length);
        Send(ClientScript().Option(code, wrong).Option(code, wrong));
        ASSERT_EQ(NextType(), OptionReply::kErrInvalid) << length;
        ASSERT_EQ(NextType(), OptionReply::kErrInvalid) << length;
      }
    }
    for (const OptionCode code : {OptionCode::kList, OptionCode::kStructuredReply,
                                  OptionCode::kExtendedHeaders, OptionCode::kStartTls}) {
      Send(ClientScript().Option(code, AsBytes("x")));
      ASSERT_EQ(NextType(), OptionReply::kErrInvalid);
    }
  };
  Start(TlsMode::kAllow, SIZE_MAX, 10'000);
  Send(ClientScript().Flags().Option(OptionCode::kStructuredReply));
  EXPECT_EQ(NextType(), OptionReply::kAck);
  all_cuts();
  StartTls("alice", kAliceKey);
  Send(ClientScript().Option(OptionCode::kStructuredReply));
  EXPECT_EQ(NextType(), OptionReply::kAck);
  all_cuts();
}

// Any options in any order, then STARTTLS, then any again. What is answered behind STARTTLS is what
// a client is told that said nothing before it.
TEST_F(TlsConversation, WhatComesBeforeStartTlsChangesNothingBehindIt) {
  using Add = void (*)(ClientScript&);
  const Add options[] = {
      [](ClientScript& s) { s.Option(OptionCode::kList); },
      [](ClientScript& s) { s.Option(OptionCode::kStructuredReply); },
      [](ClientScript& s) { s.Option(OptionCode::kExtendedHeaders); },
      [](ClientScript& s) { s.Info(OptionCode::kInfo, "for-alice", {InfoType::kName}); },
      [](ClientScript& s) { s.Info(OptionCode::kGo, "other"); },
      [](ClientScript& s) { s.MetaContext(OptionCode::kListMetaContext, "disk", {}); },
      [](ClientScript& s) {
        s.MetaContext(OptionCode::kSetMetaContext, "disk", {"base:allocation"});
      },
      [](ClientScript& s) { s.Option(OptionCode::kStartTls, AsBytes("data")); },
      [](ClientScript& s) { s.Option(OptionCode{12345}, AsBytes("junk")); }};
  const auto pick = [&](Prng& prng, uint64_t count) {
    ClientScript script;
    for (uint64_t i = 0; i < count; ++i) options[prng.Below(std::size(options))](script);
    return script.Info(OptionCode::kInfo, "disk");
  };
  // Of `count` options, each to its end.
  const auto answers = [&](uint64_t count) {
    std::vector<std::pair<OptionReply, std::vector<std::byte>>> all;
    while (count > 0) {
      const OptionReply type = NextType();
      if (type == OptionReply{}) break;
      all.emplace_back(type, last_->payload);
      const bool ends = type == OptionReply::kAck || std::to_underlying(type) >= 1u << 31;
      count -= ends ? 1 : 0;
    }
    EXPECT_EQ(count, 0u);
    return all;
  };
  constexpr uint64_t kOptions = 12;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    const ClientScript before = pick(prng, kOptions);
    const ClientScript behind = pick(prng, kOptions);
    std::vector<std::pair<OptionReply, std::vector<std::byte>>> told[2];
    for (const bool silent : {false, true}) {
      Start(seed % 2 == 0 ? TlsMode::kAllow : TlsMode::kRequire, 1 + prng.Below(100));
      Send(ClientScript().Flags());
      if (!silent) {
        Send(before);
        answers(kOptions + 1);
      }
      StartTls("alice", kAliceKey);
      Send(behind);
      told[silent ? 1 : 0] = answers(kOptions + 1);
      TearDown();
      session_.reset();
      ended_ = false;
    }
    EXPECT_EQ(told[0], told[1]);
  }
}

TEST_F(TlsConversation, AClientMayVanishWithRequestsOutstanding) {
  for (const uint64_t outstanding : {0u, 1u, 64u}) {
    Start(TlsMode::kRequire);
    Send(ClientScript().Flags());
    StartTls("alice", kAliceKey);
    talk_->device.Hold();
    ClientScript script;
    script.Go("disk");
    for (uint64_t i = 0; i < outstanding; ++i) script.Request({.cookie = i, .range = {0, 4096}});
    Send(script);
    talk_->loop.RunUntil([&] { return talk_->device.waiting() == outstanding; });
    client_->Abort();
    talk_->device.LetGo();
    talk_->loop.RunUntil([&] { return ended_; });
    TearDown();
    session_.reset();
    ended_ = false;
  }
}

// A client that is cut off at any byte of the handshake ends its session and nothing else.
TEST_F(TlsConversation, AClientMayVanishInTheHandshake) {
  for (const size_t count : {0u, 1u, 5u, 100u, 300u}) {
    Start(TlsMode::kRequire);
    Send(ClientScript().Flags().Option(OptionCode::kStartTls));
    EXPECT_EQ(NextType(), OptionReply::kAck);
    // The start of a ClientHello record that promises more.
    ClientScript hello;
    hello.Number(uint8_t{22}).Number(uint16_t{0x0301}).Number(uint16_t{500});
    while (hello.bytes().size() < 300) hello.Number(uint8_t{1});
    ClientScript begin;
    Send(begin.Raw(ConstBytes(hello.bytes()).first(count)));
    EXPECT_TRUE(SyncWait(talk_->loop, client_->Finish()));
    talk_->loop.RunUntil([&] { return ended_; });
    TearDown();
    session_.reset();
    ended_ = false;
  }
}

}  // namespace
}  // namespace mica::nbd
