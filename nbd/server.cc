// SPDX-License-Identifier: Apache-2.0
#include "nbd/server.h"

#include <fmt/format.h>

#include <utility>

#include "nbd/socket_stream.h"

namespace mica::nbd {

namespace {

constexpr size_t kIdleBufferBytesMax = 32u << 20;
constexpr int kAcceptsPerTurn = 64;  // then the connections that are there get their turn
constexpr std::chrono::milliseconds kAcceptPause(100);

}  // namespace

Server::Server(EventLoop& loop, const ServerOptions& options, EventLog& log)
    : options_(options),
      buffers_(kIdleBufferBytesMax),
      context_{
          .loop = loop, .options = options_, .exports = exports_, .buffers = buffers_, .log = log},
      changed_(loop) {}

Server::~Server() {
  MICA_CHECK(sessions_.empty() && accepting_ == 0);
}

void Server::Listen(Listener listener) {
  listeners_.push_back(std::move(listener));
}

void Server::Serve(std::unique_ptr<Stream> stream, std::string peer) {
  const bool full = sessions_.size() >= options_.limits.connections_max;
  if (full || stopping_) {
    context_.log.Write(Severity::kWarning,
                       fmt::format("{}: refused: {}", peer,
                                   full ? fmt::format("{} connections already", sessions_.size())
                                        : "the server is stopping"));
    stream->Abort();
    return;
  }
  context_.loop.Spawn(
      RunSession(std::make_unique<Session>(context_, std::move(stream), std::move(peer))));
}

Task<void> Server::RunSession(std::unique_ptr<Session> session) {
  const auto position = sessions_.insert(sessions_.end(), session.get());
  co_await session->Run();
  sessions_.erase(position);
  session.reset();
  changed_.NotifyAll();
}

Task<void> Server::Run() {
  if (!stopping_) {
    for (Listener& listener : listeners_) context_.loop.Spawn(AcceptFrom(listener));
  }
  while (!stopping_ || accepting_ != 0 || !sessions_.empty()) co_await changed_.Wait();
  drain_deadline_.reset();
}

Task<void> Server::AcceptFrom(Listener& listener) {
  ++accepting_;
  while (!stopping_) {
    const Result<void> ready =
        co_await context_.loop.WaitReady(listener.fd(), Readiness::kReadable);
    if (stopping_) break;
    if (!ready) {
      context_.log.Write(Severity::kError,
                         fmt::format("{}: {}", listener.address(), ready.error().message));
      break;
    }
    if (!AcceptWaiting(listener)) {
      co_await context_.loop.SleepUntil(context_.loop.Now() + kAcceptPause);
    }
  }
  --accepting_;
  changed_.NotifyAll();
}

bool Server::AcceptWaiting(Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Result<std::optional<UniqueFd>> accepted = listener.Accept();
    if (!accepted) {
      context_.log.Write(Severity::kError,
                         fmt::format("{}: {}", listener.address(), accepted.error().message));
      return false;
    }
    if (!*accepted) return true;
    UniqueFd socket = **std::move(accepted);
    std::string peer = PeerName(socket.get());
    Serve(std::make_unique<SocketStream>(context_.loop, std::move(socket)), std::move(peer));
  }
  return true;
}

void Server::Stop() {
  if (stopping_) return;
  stopping_ = true;
  for (Listener& listener : listeners_) listener.Stop();
  for (Session* const session : sessions_) session->BeginStop();
  drain_deadline_.emplace(context_.loop, context_.loop.Now() + options_.limits.drain_timeout,
                          [this] {
                            for (Session* const session : sessions_) session->Abort();
                          });
  changed_.NotifyAll();
}

}  // namespace mica::nbd
