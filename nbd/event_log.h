// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mica::nbd {

enum class Severity : uint8_t { kDebug, kInfo, kWarning, kError };

// Where the server reports what happens to connections. The caller of the library gives one; it
// outlives the server. Called on any loop thread, also at once; must not block for long.
class EventLog {
 public:
  EventLog() = default;
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;
  virtual ~EventLog() = default;
  virtual void Write(Severity severity, std::string_view message) = 0;
};

// Text that came from a peer, made safe for a log: in quotation marks, everything but printable
// ASCII escaped, cut after 128 bytes.
std::string Quoted(std::string_view from_peer);

}  // namespace mica::nbd
