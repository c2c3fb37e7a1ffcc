// SPDX-License-Identifier: Apache-2.0
#include "nbd/event_log.h"

#include <fmt/format.h>

#include <iterator>

namespace mica::nbd {

std::string Quoted(std::string_view from_peer) {
  constexpr size_t kShownBytesMax = 128;
  std::string quoted = "\"";
  for (const char c : from_peer.substr(0, kShownBytesMax)) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c >= ' ' && c <= '~') {
      quoted += c;
    } else {
      fmt::format_to(std::back_inserter(quoted), "\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  quoted += '"';
  if (from_peer.size() > kShownBytesMax) quoted += "...";
  return quoted;
}

std::string TextOf(const Event& event) {
  if (!event.peer.empty()) return fmt::format("{}: {}", event.peer, event.message);
  if (event.export_name.empty()) return std::string(event.message);
  return fmt::format("export {}: {}", Quoted(event.export_name), event.message);
}

}  // namespace mica::nbd
