// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nbd/handed_connection.h"
#include "nbd/negotiation.h"
#include "nbd/server_context.h"
#include "nbd/stream.h"
#include "nbd/transmission.h"

namespace mica::nbd {

// One connection from its first to its last byte. Whatever the peer does ends at worst this
// session. Belongs to one shard at a time; only on that shard's loop.
class Session {
 public:
  // `peer` names the client in the log.
  Session(const ServerContext& server, std::unique_ptr<Stream> stream, std::string peer);

  // Goes on with a connection that another process was in transmission with.
  Session(const ServerContext& server, HandedConnection handed);

  // Completes when the connection is closed and nothing of it is left in the server (with nothing),
  // or when it has to go on in another shard (with its number): then Run is called again, there,
  // after MoveTo.
  Task<std::optional<size_t>> Run();
  void MoveTo(const ServerContext& server) noexcept;

  // What is in flight is answered, then Run completes with paused(): for another process. One in
  // negotiation gets there first; one that cannot be handed over is ended as by BeginStop.
  void Pause();
  [[nodiscard]] bool paused() const noexcept { return paused_; }
  // Of a paused one, which is over with it.
  HandedConnection HandOver();
  [[nodiscard]] bool negotiates() const noexcept { return negotiation_.has_value(); }

  // A client in negotiation is disconnected; one in transmission gets its outstanding replies
  // first.
  void BeginStop();
  // Disconnects now; Run completes as soon as the device has finished what it was given.
  void Abort() noexcept { stream_->Abort(); }

  // The export this connection counts towards, if it has come that far.
  [[nodiscard]] const ServedExport* target() const noexcept;
  // See Transmission.
  [[nodiscard]] bool StalledSince(EventLoop::Time moment) const noexcept {
    return transmission_ && transmission_->StalledSince(moment);
  }
  [[nodiscard]] const std::string& peer() const noexcept { return peer_; }

 private:
  void Report(Severity severity, std::string_view message);
  Async<void> Talk();
  Async<std::optional<Agreement>> Negotiate();
  // What was agreed with the process before, on the export as it is now.
  Result<Agreement> AgreeAgain();
  Async<void> Transmit();

  const ServerContext* server_;
  std::unique_ptr<Stream> stream_;  // negotiation may replace it by an encrypted one
  std::string peer_;
  ReceiveBuffer input_;
  EventLoop::Time handshake_deadline_;
  std::optional<HandedConnection> handed_;
  bool pausing_ = false;
  bool paused_ = false;
  std::optional<Negotiation> negotiation_;
  std::optional<Agreement> agreement_;
  std::optional<Transmission> transmission_;
};

}  // namespace mica::nbd
