// SPDX-License-Identifier: Apache-2.0
// The exports that one conversation on the control socket holds: they come back when it ends,
// whatever ends it.
#pragma once

#include <chrono>
#include <set>
#include <string>

#include "nbd/event_log.h"
#include "nbd/socket_stream.h"
#include "tools/serve/export_keeper.h"

namespace mica {

// On the server's own loop.
class ExportHolds {
 public:
  ExportHolds(EventLoop& loop, ExportKeeper& keeper, nbd::EventLog& log, nbd::SocketStream& peer)
      : loop_(loop), keeper_(keeper), log_(log), peer_(peer) {}
  ExportHolds(const ExportHolds&) = delete;
  ExportHolds& operator=(const ExportHolds&) = delete;
  // After ReleaseAll.
  ~ExportHolds();

  // As ExportKeeper::Hold, but waits that long for the clients to leave. kCancelled when the peer
  // has gone meanwhile.
  Async<void> Hold(std::string name, std::chrono::seconds wait);
  Async<void> Release(std::string name);
  Task<void> ReleaseAll();

 private:
  [[nodiscard]] bool PeerIsGone() const;

  EventLoop& loop_;
  ExportKeeper& keeper_;
  nbd::EventLog& log_;
  nbd::SocketStream& peer_;
  std::set<std::string, std::less<>> held_;
};

}  // namespace mica
