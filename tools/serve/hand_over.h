// SPDX-License-Identifier: Apache-2.0
// A server as it changes hands: from a running process to a new one, over its control socket, with
// its listening and its live sockets. Clients notice nothing but a pause.
//
//   new: {"command":"hand-over"}          old: stops reading, answers what is in flight, closes the
//                                              images
//   old: {"ok":true,"descriptors":N}      then N descriptors; the first holds the state as JSON
//   new: opens the images, goes on with the connections, {"command":"taken-over"}
//   old: ends. When the new one goes away before that it opens its images again and goes on itself.
#pragma once

#include <string>
#include <vector>

#include "nbd/handed_connection.h"
#include "nbd/socket_stream.h"
#include "tools/serve/inherited_sockets.h"
#include "tools/serve/serve_config.h"

namespace mica {

struct HandedServer {
  ServeConfig config;  // its exports are those there are now; no addresses: `sockets` has them
  std::optional<std::string> config_file;
  InheritedSockets sockets;
  std::vector<nbd::HandedConnection> connections;
};

// A copy of the state in a form that can be sent: the descriptors are duplicates, the first one
// holds the text.
Result<std::vector<UniqueFd>> PackServer(const HandedServer& server);
Result<HandedServer> UnpackServer(std::vector<UniqueFd> descriptors);

// Over a unix socket; the peer takes as many as it was told.
Async<void> SendDescriptors(EventLoop& loop, int socket, const std::vector<UniqueFd>& descriptors);

// The new process: asks the server behind the control socket at `path` for everything. Blocks. The
// connection is kept until TellTakenOver.
struct TakenServer {
  HandedServer server;
  UniqueFd control;
};
Result<TakenServer> TakeServer(const std::string& path);
// The old process may end. Without it, it goes on.
Result<void> TellTakenOver(int control);

}  // namespace mica
