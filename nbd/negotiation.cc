// SPDX-License-Identifier: Apache-2.0
#include "nbd/negotiation.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "nbd/options.h"
#include "nbd/payload_reader.h"

namespace mica::nbd {

Negotiation::Negotiation(const ServerContext& server, Stream& stream, ReceiveBuffer& input)
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

// Why the option must not reach its handler.
struct OptionRefusal {
  OptionReply reply{};
  std::string_view text;
};
std::optional<OptionRefusal> CheckOption(const OptionRow* row, ConstBytes payload,
                                         const NegotiationState& state) {
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
  return std::nullopt;
}

}  // namespace

Async<bool> Negotiation::HandleOption() {
  CO_ASSIGN(const bool header_received, co_await input_.Fill(kOptionHeaderBytes));
  if (!header_received) co_return false;
  const std::optional<OptionHeader> header = DecodeOptionHeader(input_.available());
  if (!header) co_return Error{Errc::kInvalidArgument, "no option where one was expected"};
  current_ = header->code;
  const OptionRow* const row = FindOption(current_);
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
  wants_shard_ = OtherShard(row, payload);
  if (wants_shard_) co_return false;
  ++options_;
  Next next = Next::kContinue;
  const std::optional<OptionRefusal> refusal = CheckOption(row, payload, state_);
  if (!refusal) {
    CO_ASSIGN(next, co_await row->handle(*this, payload));
  } else if (row != nullptr && row->failure == Failure::kDrop) {
    co_return Error{Errc::kInvalidArgument, fmt::format("{}: {}", row->name, refusal->text)};
  } else {
    if (current_ == OptionCode::kSetMetaContext) state_.contexts.clear();  // it replaces, always
    Refuse(refusal->reply, refusal->text);
  }
  input_.Consume(option_bytes);
  const Result<void> flushed = co_await Flush();
  if (next == Next::kClose) co_return false;  // a client that leaves may not wait for our goodbye
  if (!flushed) co_return Error(flushed.error());
  co_return next == Next::kContinue;
}

std::shared_ptr<const Export> Negotiation::Find(std::string_view name) const {
  std::shared_ptr<const Export> target = server_->exports.Find(name);
  // Another shard's came into being this moment: too late for this option.
  return target != nullptr && target->shard == server_->shard ? target : nullptr;
}

Result<ExportLease> Negotiation::Acquire(std::string_view name) const {
  if (Find(name) == nullptr) return Error{Errc::kNotFound, "there is no such export"};
  return server_->exports.Acquire(name);
}

std::optional<size_t> Negotiation::OtherShard(const OptionRow* row, ConstBytes payload) const {
  if (row == nullptr || row->names == Names::kNothing) return std::nullopt;
  PayloadReader reader(payload);
  const std::optional<std::string_view> name =
      row->names == Names::kWholePayload ? AsText(payload) : reader.Text();
  if (!name) return std::nullopt;  // the handler will say what is wrong
  const std::shared_ptr<const Export> target = server_->exports.Find(*name);
  if (target == nullptr || target->shard == server_->shard) return std::nullopt;
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
  CO_TRY(co_await stream_.Send(std::span(&part, 1)));
  output_.clear();
  co_return Result<void>();
}

Agreement Negotiation::Agree(ExportLease target, std::string_view name_from_client) {
  Agreement agreed;
  agreed.replies = state_.replies;
  agreed.flags = TransmissionFlags(*target, state_.replies);
  if (state_.contexts_for == name_from_client) agreed.contexts = state_.contexts;
  agreed.target = std::move(target);
  return agreed;
}

}  // namespace mica::nbd
