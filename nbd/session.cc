// SPDX-License-Identifier: Apache-2.0
#include "nbd/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nbd/socket_stream.h"

namespace mica::nbd {

Session::Session(const ServerContext& server, std::unique_ptr<Stream> stream, std::string peer)
    : server_(&server),
      stream_(std::move(stream)),
      peer_(std::move(peer)),
      input_(*stream_),
      handshake_deadline_(server.loop.Now() + server.options.limits.handshake_timeout) {
  negotiation_.emplace(server, stream_, input_);
}

Session::Session(const ServerContext& server, HandedConnection handed)
    : server_(&server),
      stream_(std::make_unique<SocketStream>(server.loop, std::move(handed.socket))),
      peer_(handed.peer),
      input_(*stream_),
      handshake_deadline_(0),
      handed_(std::move(handed)) {
  input_.Preload(handed_->unread);
}

Task<std::optional<size_t>> Session::Run() {
  const Result<void> talked = co_await Talk();
  const std::optional<size_t> moves = negotiation_ ? negotiation_->wants_shard() : std::nullopt;
  if (talked && (moves || paused_)) co_return moves;
  if (!talked) {
    const bool dropped = talked.error().code != Errc::kIo;  // not merely a lost connection
    Report(dropped ? Severity::kWarning : Severity::kInfo,
           fmt::format("{}: {}", dropped ? "dropped" : "connection lost", talked.error().message));
    stream_->Abort();
    co_return std::nullopt;
  }
  const Result<void> finished = co_await stream_->Finish();
  Report(Severity::kDebug,
         fmt::format("closed{}{}", finished ? "" : ": ", finished ? "" : finished.error().message));
  co_return std::nullopt;
}

void Session::Report(Severity severity, std::string_view message) {
  const ServedExport* const used = target();
  server_->log.Write({.severity = severity,
                      .message = message,
                      .peer = peer_,
                      .export_name = used == nullptr ? "" : std::string_view(used->content.name)});
}

void Session::MoveTo(const ServerContext& server) noexcept {
  server_ = &server;
  stream_->MoveTo(server.loop);
  negotiation_->MoveTo(server);
}

Async<void> Session::Talk() {
  if (handed_) {
    CO_ASSIGN(Agreement agreed, AgreeAgain());
    agreement_.emplace(std::move(agreed));
    handed_.reset();
  } else {
    CO_ASSIGN(agreement_, co_await Negotiate());
    if (!agreement_) co_return Result<void>();
    negotiation_.reset();
    agreement_->target.get()->stats.connections.Add(1);
    Report(Severity::kInfo, fmt::format("uses export {}", Quoted(agreement_->target->name)));
  }
  co_return co_await Transmit();
}

Async<void> Session::Transmit() {
  transmission_.emplace(*server_, *stream_, input_, *agreement_);
  if (pausing_) Pause();
  Result<void> served = co_await transmission_->Run();
  paused_ = served && transmission_->paused();
  transmission_.reset();
  co_return served;
}

Result<Agreement> Session::AgreeAgain() {
  Agreement agreed;
  ASSIGN(agreed.target, server_->exports.Acquire(handed_->export_name));
  if (agreed.target->shard != server_->shard) {
    return Error{Errc::kNotFound, "the export lives elsewhere by now"};
  }
  agreed.replies = handed_->replies;
  agreed.flags = handed_->flags;
  const MetaContextList known = ContextsOf(*agreed.target);
  for (const HandedConnection::Context& wanted : handed_->contexts) {
    const auto found = std::ranges::find_if(
        known, [&](const auto& context) { return context->name() == wanted.name; });
    if (found == known.end()) {
      return Error{Errc::kNotFound, fmt::format("context {} is gone", Quoted(wanted.name))};
    }
    agreed.contexts.push_back({.context = *found, .id = wanted.id});
  }
  return agreed;
}

void Session::Pause() {
  pausing_ = true;
  if (transmission_ && !transmission_->Pause()) BeginStop();
}

HandedConnection Session::HandOver() {
  HandedConnection handed;
  handed.socket = stream_->TakeSocket();
  handed.peer = peer_;
  handed.export_name = agreement_->target->name;
  handed.replies = agreement_->replies;
  handed.flags = agreement_->flags;
  for (const SelectedContext& selected : agreement_->contexts) {
    handed.contexts.push_back({.name = std::string(selected.context->name()), .id = selected.id});
  }
  const ConstBytes unread = input_.available();
  handed.unread.assign(unread.begin(), unread.end());
  return handed;
}

Async<std::optional<Agreement>> Session::Negotiate() {
  bool late = false;
  const Timer give_up(server_->loop, handshake_deadline_, [&late, this] {
    late = true;
    stream_->Abort();
  });
  Result<std::optional<Agreement>> agreed = co_await negotiation_->Run();
  if (late) co_return Error{Errc::kLimit, "the handshake took too long"};
  co_return agreed;
}

void Session::BeginStop() {
  if (transmission_) {
    transmission_->BeginStop();
  } else {
    stream_->StopReceiving();
  }
}

const ServedExport* Session::target() const noexcept {
  if (agreement_) return agreement_->target.get();
  return negotiation_ && negotiation_->agreement ? negotiation_->agreement->target.get() : nullptr;
}

}  // namespace mica::nbd
