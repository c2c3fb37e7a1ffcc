// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "engine/async/event_loop.h"
#include "nbd/buffer_pool.h"
#include "nbd/event_log.h"
#include "nbd/export_table.h"
#include "nbd/memory_budget.h"

namespace mica::nbd {

class TlsCredentials;

// What clients can make the server spend. Every one of them has a test.
struct ServerLimits {
  uint32_t connections_max = 1000;  // of all exports; Export::connections_max bounds one
  uint32_t options_max = 32;        // in one negotiation, and some for every export LIST has named
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(10);
  // From Server::Stop, or from a client's goodbye, until its unsent replies are given up.
  std::chrono::nanoseconds drain_timeout = std::chrono::seconds(10);
  // Per connection, from a request's header to the last byte of its reply…
  uint64_t in_flight_bytes_max = 64u << 20;
  uint32_t in_flight_requests_max = 1024;
  // …of all connections of one export, and of the whole server. Both at least kInFlightBytesMin.
  uint64_t export_in_flight_bytes_max = 256u << 20;
  uint64_t server_in_flight_bytes_max = 1u << 30;
  // While somebody waits for memory, a client that takes longer than this to accept half a MiB of
  // replies, or to send the data of one write, is given up.
  std::chrono::nanoseconds stall_timeout = std::chrono::seconds(30);

  // So that the largest request fits.
  static constexpr uint64_t kInFlightBytesMin = 80u << 20;
};

enum class TlsMode : uint8_t {
  kOff,
  kAllow,    // a client may ask for it
  kRequire,  // nothing but STARTTLS and ABORT without it
};

struct TlsOptions {
  TlsMode mode = TlsMode::kOff;
  std::shared_ptr<const TlsCredentials> credentials;  // unless the mode is kOff
};

// What happens to clients beyond ServerLimits::connections_max: they are closed at once, or wait
// until another one leaves, with the kernel.
enum class WhenFull : uint8_t { kRefuse, kWait };

// When Server::Run ends without a Stop.
enum class Lifetime : uint8_t {
  kUntilStopped,
  kUntilUnused,  // when nobody is left and the one who left last has used an export
  kUntilEmpty,   // when nobody is left
};

struct ServerOptions {
  ServerLimits limits;
  WhenFull when_full = WhenFull::kRefuse;
  Lifetime lifetime = Lifetime::kUntilStopped;
  TlsOptions tls;
  NameListing listing = NameListing::kShown;  // whether LIST names the exports
};

// What the connections of one shard share: everything but the options, the exports and the log
// belongs to the shard's loop. Everything is borrowed from the server.
struct ServerContext {
  EventLoop& loop;
  const ServerOptions& options;
  ExportTable& exports;
  BufferPool& buffers;
  LoopBudget& memory;
  EventLog& log;
  size_t shard = 0;
};

}  // namespace mica::nbd
