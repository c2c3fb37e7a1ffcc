// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "engine/async/event_loop.h"
#include "nbd/buffer_pool.h"
#include "nbd/event_log.h"
#include "nbd/export_table.h"

namespace mica::nbd {

// What clients can make the server spend. Every one of them has a test.
struct ServerLimits {
  uint32_t connections_max = 1000;  // of all exports; Export::connections_max bounds one
  uint32_t options_max = 32;        // in one negotiation, and some for every export LIST has named
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(10);
  // From Server::Stop, or from a client's goodbye, until its unsent replies are given up.
  std::chrono::nanoseconds drain_timeout = std::chrono::seconds(10);
  // Per connection, from a request's header to the last byte of its reply.
  uint64_t in_flight_bytes_max = 64u << 20;
  uint32_t in_flight_requests_max = 1024;
};

enum class NameListing : uint8_t { kShown, kHidden };

struct ServerOptions {
  ServerLimits limits;
  NameListing listing = NameListing::kShown;  // whether LIST names the exports
};

// What the connections of one server share. Everything is borrowed from the server.
struct ServerContext {
  EventLoop& loop;
  const ServerOptions& options;
  ExportTable& exports;
  BufferPool& buffers;
  EventLog& log;
};

}  // namespace mica::nbd
