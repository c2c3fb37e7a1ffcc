// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mica::nbd {

enum class Severity : uint8_t { kDebug, kInfo, kWarning, kError };

// Something worth a line in a log. What it refers to lives as long as the call that reports it.
struct Event {
  Severity severity = Severity::kInfo;
  std::string_view message;           // for people; what comes from a peer in it is Quoted
  std::string_view peer = {};         // the client it is about, as PeerName has it
  std::string_view export_name = {};  // any bytes
};

// On one line: "PEER: MESSAGE", or `export "NAME": MESSAGE` when no client is named.
std::string TextOf(const Event& event);

// Where the server reports what happens to connections. The caller of the library gives one; it
// outlives the server. Called on any loop thread, also at once; must not block for long.
class EventLog {
 public:
  EventLog() = default;
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;
  virtual ~EventLog() = default;
  virtual void Write(const Event& event) = 0;
  void Write(Severity severity, std::string_view message) {
    const Event event{.severity = severity, .message = message};
    Write(event);
  }
};

// Text that came from a peer, made safe for a log: in quotation marks, everything but printable
// ASCII escaped, cut after 128 bytes.
std::string Quoted(std::string_view from_peer);

}  // namespace mica::nbd
