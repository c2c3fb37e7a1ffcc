// SPDX-License-Identifier: Apache-2.0
// Shard: the part of a server that lives on one event loop, with the devices of its exports.
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "nbd/server_context.h"
#include "nbd/session.h"

namespace mica::nbd {

// How far a session that is over has come.
enum class SessionUse : uint8_t { kNegotiatedOnly, kUsedExport };

// What a shard tells its server, on the shard's loop.
class ShardObserver {
 public:
  // The session goes on in another shard.
  virtual void OnMove(std::unique_ptr<Session> session, size_t to_shard) = 0;
  // A session is over. `from` is touched no more on behalf of it.
  virtual void OnEnd(const EventLoop& from, SessionUse use) = 0;

 protected:
  ShardObserver() = default;
  ShardObserver(const ShardObserver&) = default;
  ShardObserver& operator=(const ShardObserver&) = default;
  ~ShardObserver() = default;
};

// What all shards of a server share; any thread. Outlives them.
struct SharedParts {
  const ServerOptions& options;
  ExportTable& exports;
  MemoryBudget& memory;
  EventLog& log;
  ShardObserver& observer;
};

// Loop thread only, but for the constructor and the destructor.
class Shard {
 public:
  Shard(EventLoop& loop, const SharedParts& parts, size_t number);
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  // After Finish.
  ~Shard();

  [[nodiscard]] EventLoop& loop() const noexcept { return context_.loop; }
  // For making a session that this shard adopts.
  [[nodiscard]] const ServerContext& context() const noexcept { return context_; }

  // Runs a session that is new or comes from another shard.
  void Adopt(std::unique_ptr<Session> session);

  // Waits up to `grace` for the connections to `target`, which is in the table no more, to leave,
  // then ends them as a stop does; completes when there are none. What then takes longer than
  // ServerLimits::drain_timeout is given up.
  Async<void> Drain(const ServedExport& target, std::chrono::nanoseconds grace);

  // See Server::Stop. Both also hold for sessions that are adopted later.
  void BeginStop();
  void Abort();
  // Only those that are here now.
  void AbortPresent();
  // See Session::Pause; it also holds for sessions that are adopted before Resume. Those that have
  // paused wait here for TakeHanded.
  void Pause();
  // What negotiates still, while pausing, is disconnected.
  void EndNegotiations();
  std::vector<HandedConnection> TakeHanded() { return std::exchange(handed_, {}); }
  void Resume() noexcept { pausing_ = false; }

  // There are no sessions and will be none.
  Async<void> Finish();

 private:
  template <class Call>
  void OnSessionsOf(const ServedExport& target, Call call);
  Task<void> RunSession(std::unique_ptr<Session> session);
  void OnPressure();
  void EndStalled();

  const SharedParts parts_;
  BufferPool buffers_;
  LoopBudget memory_;
  ServerContext context_;
  std::list<Session*> sessions_;
  std::vector<HandedConnection> handed_;
  bool pausing_ = false;
  bool stopping_ = false;
  bool aborting_ = false;
  std::optional<Timer> stall_check_;
  WaitList changed_;
};

}  // namespace mica::nbd
