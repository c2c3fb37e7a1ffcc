// SPDX-License-Identifier: Apache-2.0
// The NBD server: exports, listeners, connections, limits and the clean stop.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nbd/listener.h"
#include "nbd/server_context.h"
#include "nbd/session.h"

namespace mica::nbd {

// Lives on one loop, with the devices of its exports. Loop thread only. Use: add exports and
// listeners, run Run to its end, then close the devices; Stop makes Run end.
class Server {
 public:
  Server(EventLoop& loop, const ServerOptions& options, EventLog& log);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  [[nodiscard]] ExportTable& exports() noexcept { return exports_; }

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

  [[nodiscard]] size_t connections() const noexcept { return sessions_.size(); }

 private:
  Task<void> AcceptFrom(Listener& listener);
  // Accepts what waits now; false when accepting cannot work for a while.
  bool AcceptWaiting(Listener& listener);
  Task<void> RunSession(std::unique_ptr<Session> session);

  ServerOptions options_;
  ExportTable exports_;
  BufferPool buffers_;
  ServerContext context_;
  std::list<Listener> listeners_;  // never move: AcceptFrom refers to them
  std::list<Session*> sessions_;
  size_t accepting_ = 0;  // AcceptFrom coroutines
  bool stopping_ = false;
  std::optional<Timer> drain_deadline_;
  WaitList changed_;
};

}  // namespace mica::nbd
