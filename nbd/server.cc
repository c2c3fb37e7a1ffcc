// SPDX-License-Identifier: Apache-2.0
#include "nbd/server.h"

#include <fmt/format.h>

#include <utility>

#include "engine/async/call_on.h"
#include "nbd/socket_stream.h"

namespace mica::nbd {

namespace {

constexpr int kAcceptsPerTurn = 64;  // then the connections that are there get their turn
constexpr std::chrono::milliseconds kAcceptPause(100);

}  // namespace

Server::Server(EventLoop& loop, const ServerOptions& options, EventLog& log)
    : loop_(loop),
      options_(options),
      log_(log),
      memory_(options.limits.server_in_flight_bytes_max),
      changed_(loop) {
  AddLoop(loop);
}

Server::~Server() {
  MICA_CHECK(connections_ == 0 && accepting_ == 0);
}

size_t Server::AddLoop(EventLoop& loop) {
  const SharedParts parts{
      .options = options_, .exports = exports_, .memory = memory_, .log = log_, .observer = *this};
  shards_.push_back(std::make_unique<Shard>(loop, parts, shards_.size()));
  return shards_.size() - 1;
}

Async<void> Server::Remove(std::string name, std::chrono::nanoseconds grace) {
  const std::shared_ptr<ServedExport> removed = exports_.Remove(name);
  if (removed == nullptr) {
    co_return Error{Errc::kNotFound, fmt::format("there is no export {}", Quoted(name))};
  }
  Shard& shard = *shards_[removed->content.shard];
  const std::function<Async<void>()> drain = [&] { return shard.Drain(*removed, grace); };
  co_return co_await CallOn(loop_, shard.loop(), drain);
}

void Server::Listen(Listener listener) {
  listeners_.push_back(std::move(listener));
}

void Server::Serve(std::unique_ptr<Stream> stream, std::string peer) {
  if (full() || stopping_) {
    const std::string message = full()
                                    ? fmt::format("refused: {} connections already", connections_)
                                    : "refused: the server is stopping";
    log_.Write({.severity = Severity::kWarning, .message = message, .peer = peer});
    stream->Abort();
    return;
  }
  ++connections_;
  Shard& own = *shards_.front();
  own.Adopt(std::make_unique<Session>(own.context(), std::move(stream), std::move(peer)));
}

void Server::OnMove(std::unique_ptr<Session> session, size_t to_shard) {
  Shard& shard = *shards_[to_shard];
  // std::function wants copies; there is one owner at a time all the same.
  const auto moved = std::make_shared<std::unique_ptr<Session>>(std::move(session));
  shard.loop().PostFromAnyThread([&shard, moved] {
    (*moved)->MoveTo(shard.context());
    shard.Adopt(std::move(*moved));
  });
}

void Server::OnEnd(const EventLoop& from, SessionUse use) {
  if (&from == &loop_) {
    CountEnd(use);
  } else {
    loop_.PostFromAnyThread([this, use] { CountEnd(use); });
  }
}

void Server::CountEnd(SessionUse use) {
  --connections_;
  const bool ends = options_.lifetime == Lifetime::kUntilEmpty ||
                    (options_.lifetime == Lifetime::kUntilUnused && use == SessionUse::kUsedExport);
  if (ends && connections_ == 0) Stop();
  changed_.NotifyAll();
}

template <class Call>
void Server::OnEveryShard(Call call) {
  for (const std::unique_ptr<Shard>& shard : shards_) {
    if (&shard->loop() == &loop_) {
      call(*shard);
    } else {
      shard->loop().PostFromAnyThread([call, &shard = *shard] { call(shard); });
    }
  }
}

Task<void> Server::Run() {
  if (!stopping_) {
    for (Listener& listener : listeners_) loop_.Spawn(AcceptFrom(listener));
  }
  while (!stopping_ || accepting_ != 0 || connections_ != 0) co_await changed_.Wait();
  drain_deadline_.reset();
  co_await FinishShards();
}

// Comes behind everything that the shards have posted to each other.
Task<void> Server::FinishShards() {
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const std::function<Async<void>()> finish = [&] { return shard->Finish(); };
    (void)co_await CallOn(loop_, shard->loop(), finish);
  }
}

Task<void> Server::AcceptFrom(Listener& listener) {
  ++accepting_;
  while (!stopping_) {
    if (full() && options_.when_full == WhenFull::kWait) {
      co_await changed_.Wait();
      continue;
    }
    const Result<void> ready = co_await loop_.WaitReady(listener.fd(), Readiness::kReadable);
    while (handing_over_ && !stopping_) co_await changed_.Wait();
    if (stopping_) break;
    if (!ready) {
      log_.Write(Severity::kError,
                 fmt::format("{}: {}", listener.address(), ready.error().message));
      break;
    }
    if (!AcceptWaiting(listener)) {
      co_await loop_.SleepUntil(loop_.Now() + kAcceptPause);
    }
  }
  --accepting_;
  changed_.NotifyAll();
}

bool Server::AcceptWaiting(Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (full() && options_.when_full == WhenFull::kWait) return true;
    Result<std::optional<UniqueFd>> accepted = listener.Accept();
    if (!accepted) {
      log_.Write(Severity::kError,
                 fmt::format("{}: {}", listener.address(), accepted.error().message));
      return false;
    }
    if (!*accepted) return true;
    UniqueFd socket = **std::move(accepted);
    std::string peer = PeerName(socket.get());
    Serve(std::make_unique<SocketStream>(loop_, std::move(socket)), std::move(peer));
  }
  return true;
}

namespace {

Task<std::vector<HandedConnection>> TakeHandedFrom(Shard& shard) {
  co_return shard.TakeHanded();
}

}  // namespace

Task<std::vector<HandedConnection>> Server::HandOver() {
  handing_over_ = true;
  OnEveryShard([](Shard& shard) { shard.Pause(); });
  const EventLoop::Time end_negotiations = loop_.Now() + kNegotiationGrace;
  const Timer negotiations(loop_, end_negotiations,
                           [this] { OnEveryShard([](Shard& shard) { shard.EndNegotiations(); }); });
  const EventLoop::Time give_up = end_negotiations + options_.limits.drain_timeout;
  const Timer abort(loop_, give_up, [this] {
    // Not Shard::Abort, which holds for later sessions too.
    OnEveryShard([](Shard& shard) { shard.AbortPresent(); });
  });
  while (connections_ != 0) co_await changed_.Wait();
  std::vector<HandedConnection> all;
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const std::function<Task<std::vector<HandedConnection>>()> take = [&] {
      return TakeHandedFrom(*shard);
    };
    std::vector<HandedConnection> some = co_await CallOn(loop_, shard->loop(), take);
    for (HandedConnection& one : some) all.push_back(std::move(one));
  }
  co_return all;
}

void Server::Resume(std::vector<HandedConnection> connections) {
  handing_over_ = false;
  OnEveryShard([](Shard& shard) { shard.Resume(); });
  for (HandedConnection& one : connections) {
    const std::shared_ptr<const Export> target = exports_.Find(one.export_name);
    Shard& shard = *shards_[target == nullptr ? 0 : target->shard];
    const auto handed = std::make_shared<HandedConnection>(std::move(one));
    ++connections_;
    shard.loop().PostFromAnyThread([&shard, handed] {
      shard.Adopt(std::make_unique<Session>(shard.context(), std::move(*handed)));
    });
  }
  changed_.NotifyAll();
}

void Server::Stop() {
  if (stopping_) return;
  stopping_ = true;
  exports_.ForgetAway();  // who waits in a handshake would hold the stop up
  for (Listener& listener : listeners_) listener.Stop();
  OnEveryShard([](Shard& shard) { shard.BeginStop(); });
  drain_deadline_.emplace(loop_, loop_.Now() + options_.limits.drain_timeout,
                          [this] { OnEveryShard([](Shard& shard) { shard.Abort(); }); });
  changed_.NotifyAll();
}

}  // namespace mica::nbd
