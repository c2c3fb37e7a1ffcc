// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nbd/server_context.h"
#include "nbd/stream.h"
#include "nbd/transmission.h"

namespace mica::nbd {

// One connection from its first to its last byte. Whatever the peer does ends at worst this
// session. Loop thread only.
class Session {
 public:
  // `peer` names the client in the log.
  Session(const ServerContext& server, std::unique_ptr<Stream> stream, std::string peer);

  // Completes when the connection is closed and nothing of it is left in the server.
  Task<void> Run();

  // A client in negotiation is disconnected; one in transmission gets its outstanding replies
  // first.
  void BeginStop();
  // Disconnects now; Run completes as soon as the device has finished what it was given.
  void Abort() noexcept { stream_->Abort(); }

 private:
  Async<void> Talk();
  Async<std::optional<Agreement>> Negotiate(ReceiveBuffer& input);

  const ServerContext& server_;
  std::unique_ptr<Stream> stream_;
  std::string peer_;
  std::optional<Transmission> transmission_;
};

}  // namespace mica::nbd
