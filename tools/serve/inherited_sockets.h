// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "nbd/listener.h"

namespace mica {

// Listening sockets that the service manager has opened for this process, by the protocol of
// sd_listen_fds(3). Those named "control" and "metrics" are for that, all others for NBD.
struct InheritedSockets {
  std::vector<nbd::Listener> nbd;
  std::vector<nbd::Listener> control;
  std::vector<nbd::Listener> metrics;
};

// Empty when there are none. Takes the variables out of the environment: once in a process, before
// there are other threads. kInvalidArgument for a descriptor that does not listen.
Result<InheritedSockets> TakeInheritedSockets();

}  // namespace mica
