// SPDX-License-Identifier: Apache-2.0
#include "nbd/session.h"

#include <fmt/format.h>

#include <utility>

namespace mica::nbd {

Session::Session(const ServerContext& server, std::unique_ptr<Stream> stream, std::string peer)
    : server_(&server),
      stream_(std::move(stream)),
      peer_(std::move(peer)),
      input_(*stream_),
      handshake_deadline_(server.loop.Now() + server.options.limits.handshake_timeout) {
  negotiation_.emplace(server, stream_, input_);
}

Task<std::optional<size_t>> Session::Run() {
  const Result<void> talked = co_await Talk();
  const std::optional<size_t> moves = negotiation_ ? negotiation_->wants_shard() : std::nullopt;
  if (talked && moves) co_return moves;
  if (!talked) {
    const bool dropped = talked.error().code != Errc::kIo;  // not merely a lost connection
    server_->log.Write(dropped ? Severity::kWarning : Severity::kInfo,
                       fmt::format("{}: {}: {}", peer_, dropped ? "dropped" : "connection lost",
                                   talked.error().message));
    stream_->Abort();
    co_return std::nullopt;
  }
  const Result<void> finished = co_await stream_->Finish();
  server_->log.Write(Severity::kDebug, fmt::format("{}: closed{}{}", peer_, finished ? "" : ": ",
                                                   finished ? "" : finished.error().message));
  co_return std::nullopt;
}

void Session::MoveTo(const ServerContext& server) noexcept {
  server_ = &server;
  stream_->MoveTo(server.loop);
  negotiation_->MoveTo(server);
}

Async<void> Session::Talk() {
  CO_ASSIGN(agreement_, co_await Negotiate());
  if (!agreement_) co_return Result<void>();
  negotiation_.reset();
  agreement_->target.get()->stats.connections.Add(1);
  server_->log.Write(Severity::kInfo,
                     fmt::format("{}: uses export {}", peer_, Quoted(agreement_->target->name)));
  transmission_.emplace(*server_, *stream_, input_, *agreement_);
  Result<void> served = co_await transmission_->Run();
  transmission_.reset();
  co_return served;
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
