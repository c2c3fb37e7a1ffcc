// SPDX-License-Identifier: Apache-2.0
#include "nbd/session.h"

#include <fmt/format.h>

#include <utility>

#include "nbd/negotiation.h"

namespace mica::nbd {

Session::Session(const ServerContext& server, std::unique_ptr<Stream> stream, std::string peer)
    : server_(server), stream_(std::move(stream)), peer_(std::move(peer)) {}

Task<void> Session::Run() {
  const Result<void> talked = co_await Talk();
  if (!talked) {
    const bool dropped = talked.error().code != Errc::kIo;  // not merely a lost connection
    server_.log.Write(dropped ? Severity::kWarning : Severity::kInfo,
                      fmt::format("{}: {}: {}", peer_, dropped ? "dropped" : "connection lost",
                                  talked.error().message));
    stream_->Abort();
    co_return;
  }
  const Result<void> finished = co_await stream_->Finish();
  server_.log.Write(Severity::kDebug, fmt::format("{}: closed{}{}", peer_, finished ? "" : ": ",
                                                  finished ? "" : finished.error().message));
}

Async<void> Session::Talk() {
  ReceiveBuffer input(*stream_);
  CO_ASSIGN(const std::optional<Agreement> agreement, co_await Negotiate(input));
  if (!agreement) co_return Result<void>();
  server_.log.Write(Severity::kInfo,
                    fmt::format("{}: uses export {}", peer_, Quoted(agreement->target->name)));
  transmission_.emplace(server_, *stream_, input, *agreement);
  Result<void> served = co_await transmission_->Run();
  transmission_.reset();
  co_return served;
}

Async<std::optional<Agreement>> Session::Negotiate(ReceiveBuffer& input) {
  bool late = false;
  const EventLoop::Time deadline = server_.loop.Now() + server_.options.limits.handshake_timeout;
  const Timer give_up(server_.loop, deadline, [&late, this] {
    late = true;
    stream_->Abort();
  });
  Negotiation negotiation(server_, *stream_, input);
  Result<std::optional<Agreement>> agreed = co_await negotiation.Run();
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

}  // namespace mica::nbd
