// SPDX-License-Identifier: Apache-2.0
#include "nbd/negotiation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "nbd/options.h"
#include "nbd/payload_reader.h"
#include "nbd/tls_stream.h"

namespace mica::nbd {

Negotiation::Negotiation(const ServerContext& server, std::unique_ptr<Stream>& stream,
                         ReceiveBuffer& input)
    : server_(&server), stream_(stream), input_(input) {}

Async<std::optional<Agreement>> Negotiation::Run() {
  bool go_on = true;
  wants_shard_.reset();
  if (!greeted_) {
    CO_ASSIGN(go_on, co_await Greet());
  }
  while (go_on) {
    if (options_ >= OptionsMax()) {
      co_return Error{Errc::kLimit, fmt::format("more than {} options", options_)};
    }
    CO_ASSIGN(go_on, co_await HandleOption());
  }
  co_return std::move(agreement);
}

Async<bool> Negotiation::Greet() {
  greeted_ = true;
  std::array<std::byte, kGreetingBytes> greeting;
  EncodeGreeting(greeting, kFlagFixedNewstyle | kFlagNoZeroes);
  Append(greeting);
  CO_TRY(co_await Flush());
  co_return co_await ReceiveClientFlags();
}

Async<bool> Negotiation::ReceiveClientFlags() {
  CO_ASSIGN(const bool received, co_await input_.Fill(kClientFlagsBytes));
  if (!received) co_return false;
  state_.client_flags = LoadBe<uint32_t>(input_.available(), 0);
  input_.Consume(kClientFlagsBytes);
  if ((state_.client_flags & ~(kClientFlagFixedNewstyle | kClientFlagNoZeroes)) != 0) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("client flags {:#x} were not offered", state_.client_flags)};
  }
  co_return true;
}

namespace {

std::string_view NameOf(const std::shared_ptr<const MetaContext>& context) noexcept {
  return context->name();
}

// Why the option must not reach its handler.
struct OptionRefusal {
  OptionReply reply{};
  std::string_view text;
};
std::optional<OptionRefusal> CheckOption(OptionCode code, ConstBytes payload,
                                         const NegotiationState& state, TlsMode tls) {
  const bool in_clear = code == OptionCode::kStartTls || code == OptionCode::kAbort;
  if (tls == TlsMode::kRequire && !state.peer.encrypted && !in_clear) {
    return OptionRefusal{OptionReply::kErrTlsRequired, "this server wants TLS first"};
  }
  const OptionRow* const row = FindOption(code);
  if (row == nullptr) return OptionRefusal{OptionReply::kErrUnsup, "unknown option"};
  if (row->payload_max == 0 && !payload.empty()) {
    return OptionRefusal{OptionReply::kErrInvalid, "this option carries no data"};
  }
  if (payload.size() > row->payload_max) {
    return OptionRefusal{OptionReply::kErrTooBig, "too much data for this option"};
  }
  if (row->needs == Needs::kStructuredReplies && state.replies == ReplyStyle::kSimple) {
    return OptionRefusal{OptionReply::kErrInvalid, "ask for structured replies first"};
  }
  if (row->needs == Needs::kCompactHeaders && state.replies == ReplyStyle::kExtended) {
    return OptionRefusal{OptionReply::kErrExtendedHeadersRequired,
                         "extended headers were agreed on, which takes precedence"};
  }
  return std::nullopt;
}

}  // namespace

Async<bool> Negotiation::HandleOption() {
  CO_ASSIGN(const bool header_received, co_await input_.Fill(kOptionHeaderBytes));
  if (!header_received) co_return false;
  const std::optional<OptionHeader> header = DecodeOptionHeader(input_.available());
  if (!header) co_return Error{Errc::kInvalidArgument, "no option where one was expected"};
  current_ = header->code;
  if (header->payload_bytes > kOptionPayloadMax) {
    co_return Error{Errc::kLimit, fmt::format("option {} with {} bytes of data",
                                              std::to_underlying(current_), header->payload_bytes)};
  }
  const bool fixed_newstyle = (state_.client_flags & kClientFlagFixedNewstyle) != 0;
  if (!fixed_newstyle && current_ != OptionCode::kExportName) {
    co_return Error{Errc::kInvalidArgument, "a client without fixed newstyle sent an option"};
  }
  const size_t option_bytes = kOptionHeaderBytes + header->payload_bytes;
  CO_ASSIGN(const bool payload_received, co_await input_.Fill(option_bytes));
  if (!payload_received) co_return false;

  const ConstBytes payload = input_.available().first(option_bytes).subspan(kOptionHeaderBytes);
  co_await WaitWhileAway(payload);
  wants_shard_ = OtherShard(payload);
  if (wants_shard_) co_return false;
  ++options_;
  CO_ASSIGN(const Next next, co_await Execute(payload));
  input_.Consume(option_bytes);
  if (next == Next::kEncrypt && !input_.available().empty()) {
    // Would be taken for something that was said in confidence.
    co_return Error{Errc::kInvalidArgument, "data behind STARTTLS"};
  }
  const Result<void> flushed = co_await Flush();
  if (next == Next::kClose) co_return false;  // a client that leaves may not wait for our goodbye
  if (!flushed) co_return Error(flushed.error());
  if (next == Next::kEncrypt) CO_TRY(co_await Encrypt());
  co_return next != Next::kTransmit;
}

Async<Next> Negotiation::Execute(ConstBytes payload) {
  const OptionRow* const row = FindOption(current_);
  const std::optional<OptionRefusal> refusal =
      CheckOption(current_, payload, state_, server_->options.tls.mode);
  if (!refusal) co_return co_await row->handle(*this, payload);
  if (row != nullptr && row->failure == Failure::kDrop) {
    co_return Error{Errc::kInvalidArgument, fmt::format("{}: {}", row->name, refusal->text)};
  }
  if (current_ == OptionCode::kSetMetaContext) state_.contexts.clear();  // it replaces, always
  Refuse(refusal->reply, refusal->text);
  co_return Next::kContinue;
}

// "TLS support". Whatever was agreed in clear text is forgotten.
Async<void> Negotiation::Encrypt() {
  CO_ASSIGN(std::unique_ptr<TlsStream> encrypted,
            TlsStream::Make(server_->loop, std::move(stream_), server_->options.tls.credentials));
  TlsStream& tls = *encrypted;
  stream_ = std::move(encrypted);
  input_.Rebind(tls);
  CO_TRY(co_await tls.Handshake());
  const uint32_t client_flags = state_.client_flags;
  state_ = NegotiationState();
  state_.client_flags = client_flags;
  state_.peer = tls.identity();
  co_return Result<void>();
}

bool Negotiation::MayUse(const Export& target) const {
  return state_.peer.MatchesAny(target.clients);
}

std::shared_ptr<const Export> Negotiation::FindExport(std::string_view name) const {
  std::shared_ptr<const Export> target = server_->exports.Find(name);
  // Another shard's came into being this moment: too late for this option.
  const bool here = target != nullptr && target->shard == server_->shard;
  return here && MayUse(*target) ? target : nullptr;
}

void Negotiation::RefuseExport(std::string_view name) {
  const bool exists = server_->exports.Find(name) != nullptr;
  if (exists) {
    server_->log.Write({.severity = Severity::kWarning,
                        .message = "refused to a client that it does not name",
                        .export_name = name});
  }
  if (exists && !state_.peer.encrypted && server_->options.tls.mode != TlsMode::kOff) {
    Refuse(OptionReply::kErrTlsRequired, "this export wants TLS first");
  } else {
    Refuse(OptionReply::kErrUnknown, "there is no such export");  // for this client
  }
}

Result<ExportLease> Negotiation::Acquire(std::string_view name) const {
  if (FindExport(name) == nullptr) return Error{Errc::kNotFound, "there is no such export"};
  return server_->exports.Acquire(name);
}

std::optional<std::string_view> Negotiation::NamedExport(ConstBytes payload) const {
  const OptionRow* const row = FindOption(current_);
  if (row == nullptr || row->names == Names::kNothing) return std::nullopt;
  PayloadReader reader(payload);
  return row->names == Names::kWholePayload ? AsText(payload) : reader.Text();
}

Task<void> Negotiation::WaitWhileAway(ConstBytes payload) {
  constexpr std::chrono::milliseconds kPause(10);
  const std::optional<std::string_view> name = NamedExport(payload);
  if (!name) co_return;
  EventLoop& loop = server_->loop;
  const EventLoop::Time give_up = loop.Now() + server_->options.limits.handshake_timeout;
  while (server_->exports.IsAway(*name) && loop.Now() < give_up) {
    co_await loop.SleepUntil(loop.Now() + kPause);
  }
}

std::optional<size_t> Negotiation::OtherShard(ConstBytes payload) const {
  const std::optional<std::string_view> name = NamedExport(payload);
  if (!name) return std::nullopt;  // the handler will say what is wrong
  const std::shared_ptr<const Export> target = server_->exports.Find(*name);
  if (target == nullptr || !MayUse(*target)) return std::nullopt;
  if (target->shard == server_->shard) return std::nullopt;
  return target->shard;
}

void Negotiation::Reply(OptionReply type, ConstBytes payload) {
  std::array<std::byte, kOptionReplyHeaderBytes> header;
  EncodeOptionReplyHeader(header, current_, type, static_cast<uint32_t>(payload.size()));
  Append(header);
  Append(payload);
}

Async<void> Negotiation::FlushIfLong() {
  if (output_.size() < kLongOutputBytes) co_return Result<void>();
  co_return co_await Flush();
}

Async<void> Negotiation::Flush() {
  if (output_.empty()) co_return Result<void>();
  const ConstBytes part = output_;
  CO_TRY(co_await stream_->Send(std::span(&part, 1)));
  output_.clear();
  co_return Result<void>();
}

uint16_t Negotiation::FlagsFor(const Export& target, std::string_view name_from_client) const {
  uint16_t flags = TransmissionFlags(target, state_.replies);
  // The payload names selected contexts: of no use to a client that has none.
  const bool selected = !state_.contexts.empty() && state_.contexts_for == name_from_client;
  if (state_.replies == ReplyStyle::kExtended && selected) flags |= kFlagBlockStatusPayload;
  return flags;
}

std::vector<SelectedContext> Negotiation::SelectedOf(const Export& target) const {
  const MetaContextList contexts = ContextsOf(target);
  std::vector<SelectedContext> selected;
  for (const ChosenContext& chosen : state_.contexts) {
    const auto found = std::ranges::find(contexts, chosen.name, NameOf);
    if (found == contexts.end()) return {};  // gone since: better none than some
    selected.push_back({.context = *found, .id = chosen.id});
  }
  return selected;
}

Agreement Negotiation::Agree(ExportLease target, std::string_view name_from_client) {
  Agreement agreed;
  agreed.replies = state_.replies;
  agreed.flags = FlagsFor(*target, name_from_client);
  if (state_.contexts_for == name_from_client) agreed.contexts = SelectedOf(*target);
  agreed.target = std::move(target);
  return agreed;
}

}  // namespace mica::nbd
