// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/unique_fd.h"
#include "nbd/reply.h"

namespace mica::nbd {

// A connection in transmission, between two servers: everything it has asked has been answered, and
// this is what a server must know to go on with it as if nothing had happened.
struct HandedConnection {
  struct Context {
    std::string name;
    uint32_t id = 0;
    friend bool operator==(const Context&, const Context&) = default;
  };

  UniqueFd socket;
  std::string peer;  // for the log
  std::string export_name;
  ReplyStyle replies = ReplyStyle::kSimple;
  uint16_t flags = 0;  // as this client was told them
  std::vector<Context> contexts;
  std::vector<std::byte> unread;  // received and not yet looked at: requests, the last one cut
};

}  // namespace mica::nbd
