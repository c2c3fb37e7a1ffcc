// SPDX-License-Identifier: Apache-2.0
// The NBD server: exports, listeners, connections, limits and the clean stop.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nbd/listener.h"
#include "nbd/shard.h"

namespace mica::nbd {

// Accepts on one loop, its own, and serves each export on the loop that its device lives on: a
// connection moves there when it names the export. All members on the server's own loop. Use: add
// loops, exports and listeners, run Run to its end, then close the devices; Stop makes Run end.
class Server final : private ShardObserver {
 public:
  Server(EventLoop& loop, const ServerOptions& options, EventLog& log);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // After Run, if that was ever started.
  ~Server();

  // Before Run. The number of the new shard, for Export::shard; the server's own loop is shard 0.
  // Another thread turns the loop from now until the server is destroyed.
  size_t AddLoop(EventLoop& loop);

  [[nodiscard]] EventLoop& loop() const noexcept { return loop_; }
  [[nodiscard]] const ServerOptions& options() const noexcept { return options_; }
  [[nodiscard]] ExportTable& exports() noexcept { return exports_; }
  // Takes an export away: new clients do not find it, those that use it get their outstanding
  // replies and ESHUTDOWN for what is new, then are disconnected; but only after `grace`, in which
  // they may leave on their own. Its device is free afterwards. kNotFound.
  Async<void> Remove(std::string name, std::chrono::nanoseconds grace);

  // Before Run.
  void Listen(Listener listener);
  // Serves a connection that is already made, or ends it when there are too many or the server is
  // stopping. `peer` names the client in the log.
  void Serve(std::unique_ptr<Stream> stream, std::string peer);

  // Accepts and serves until a Stop has drained.
  Task<void> Run();

  // Accepts nothing more, ends idle connections, answers what is outstanding, gives up on what is
  // left after ServerLimits::drain_timeout. Returns at once.
  void Stop();

  // Stops reading from all connections and accepting new ones, answers what is in flight, and
  // completes with the connections that can go on elsewhere; all others are ended, those in
  // negotiation after kNegotiationGrace. Exports are idle afterwards, until Resume.
  Task<std::vector<HandedConnection>> HandOver();
  // Goes on with connections that HandOver has given, here or in another process, and accepts
  // again. The exports they use are there.
  void Resume(std::vector<HandedConnection> connections);
  [[nodiscard]] std::list<Listener>& listeners() noexcept { return listeners_; }

  [[nodiscard]] size_t connections() const noexcept { return connections_; }
  [[nodiscard]] const MemoryBudget& memory() const noexcept { return memory_; }

 private:
  void OnMove(std::unique_ptr<Session> session, size_t to_shard) override;
  void OnEnd(const EventLoop& from, SessionUse use) override;
  void CountEnd(SessionUse use);
  [[nodiscard]] bool full() const noexcept {
    return connections_ >= options_.limits.connections_max;
  }

  static constexpr std::chrono::seconds kNegotiationGrace{1};

  Task<void> AcceptFrom(Listener& listener);
  // Accepts what waits now; false when accepting cannot work for a while.
  bool AcceptWaiting(Listener& listener);
  Task<void> FinishShards();
  template <class Call>
  void OnEveryShard(Call call);

  EventLoop& loop_;
  ServerOptions options_;
  EventLog& log_;
  ExportTable exports_;
  MemoryBudget memory_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::list<Listener> listeners_;  // never move: AcceptFrom refers to them
  size_t connections_ = 0;
  size_t accepting_ = 0;  // AcceptFrom coroutines
  bool handing_over_ = false;
  bool stopping_ = false;
  std::optional<Timer> drain_deadline_;
  WaitList changed_;
};

}  // namespace mica::nbd
