// SPDX-License-Identifier: Apache-2.0
#include "nbd/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mica::nbd {

namespace {

constexpr size_t kIdleBufferBytesMax = 32u << 20;

}  // namespace

Shard::Shard(EventLoop& loop, const SharedParts& parts, size_t number)
    : parts_(parts),
      buffers_(kIdleBufferBytesMax),
      memory_(loop, parts.memory, parts.options.limits.export_in_flight_bytes_max,
              [this] { OnPressure(); }),
      context_{.loop = loop,
               .options = parts.options,
               .exports = parts.exports,
               .buffers = buffers_,
               .memory = memory_,
               .log = parts.log,
               .shard = number},
      changed_(loop) {}

Shard::~Shard() {
  MICA_CHECK(sessions_.empty() && !stall_check_);
}

void Shard::Adopt(std::unique_ptr<Session> session) {
  if (pausing_) session->Pause();
  if (stopping_) session->BeginStop();
  if (aborting_) session->Abort();
  loop().Spawn(RunSession(std::move(session)));
}

Task<void> Shard::RunSession(std::unique_ptr<Session> session) {
  const auto position = sessions_.insert(sessions_.end(), session.get());
  const std::optional<size_t> moves = co_await session->Run();
  sessions_.erase(position);
  if (moves) {
    parts_.observer.OnMove(std::move(session), *moves);
  } else {
    const auto use =
        session->target() == nullptr ? SessionUse::kNegotiatedOnly : SessionUse::kUsedExport;
    if (session->paused()) handed_.push_back(session->HandOver());
    session.reset();
    parts_.observer.OnEnd(loop(), use);
  }
  changed_.NotifyAll();
}

template <class Call>
void Shard::OnSessionsOf(const ServedExport& target, Call call) {
  for (Session* const session : sessions_) {
    if (session->target() == &target) call(*session);
  }
}

Async<void> Shard::Drain(const ServedExport& target, std::chrono::nanoseconds grace) {
  const EventLoop::Time stop_at = loop().Now() + grace;
  const Timer stop(loop(), stop_at, [this, &target] {
    OnSessionsOf(target, [](Session& session) { session.BeginStop(); });
  });
  const EventLoop::Time abort_at = stop_at + parts_.options.limits.drain_timeout;
  const Timer abort(loop(), abort_at, [this, &target] {
    OnSessionsOf(target, [](Session& session) { session.Abort(); });
  });
  const auto uses = [&target](const Session* session) { return session->target() == &target; };
  while (std::ranges::any_of(sessions_, uses)) co_await changed_.Wait();
  co_return Result<void>();
}

void Shard::Pause() {
  pausing_ = true;
  for (Session* const session : sessions_) session->Pause();
}

void Shard::EndNegotiations() {
  for (Session* const session : sessions_) {
    if (session->negotiates()) session->BeginStop();
  }
}

void Shard::BeginStop() {
  stopping_ = true;
  for (Session* const session : sessions_) session->BeginStop();
}

void Shard::Abort() {
  aborting_ = true;
  AbortPresent();
}

void Shard::AbortPresent() {
  for (Session* const session : sessions_) session->Abort();
}

Async<void> Shard::Finish() {
  stall_check_.reset();
  co_return Result<void>();
}

void Shard::OnPressure() {
  if (stall_check_) return;
  const EventLoop::Time timeout = parts_.options.limits.stall_timeout;
  stall_check_.emplace(loop(), loop().Now() + timeout, [this] { EndStalled(); });
}

void Shard::EndStalled() {
  stall_check_.reset();
  if (!memory_.under_pressure()) return;
  const EventLoop::Time since = loop().Now() - parts_.options.limits.stall_timeout;
  for (Session* const session : sessions_) {
    if (!session->StalledSince(since)) continue;
    const std::string message = fmt::format(
        "dropped: others wait for memory, and this client has not taken its replies or sent its "
        "data for {} s",
        std::chrono::duration<double>(parts_.options.limits.stall_timeout).count());
    parts_.log.Write({.severity = Severity::kWarning, .message = message, .peer = session->peer()});
    session->Abort();
  }
  OnPressure();  // until nobody waits any more
}

}  // namespace mica::nbd
