// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/parse.h"

#include <fmt/core.h>

#include <charconv>

namespace mica {

Result<void> ParseKeyValues(std::string_view text, std::map<std::string, std::string>& into) {
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view pair = text.substr(0, comma);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("expected KEY=VALUE[,KEY=VALUE…], found '{}'", pair)};
    }
    into[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

Result<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  const std::string_view host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  // Without brackets the last colon of an IPv6 address would be taken for the port's.
  const bool ambiguous = !bracketed && host.find_first_of(":[]") != std::string_view::npos;
  if (colon == std::string_view::npos || colon + 1 == text.size() || ambiguous) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("expected HOST:PORT, :PORT or [IPv6]:PORT, found '{}'", text)};
  }
  HostPort parsed;
  parsed.host = bracketed ? host.substr(1, host.size() - 2) : host;
  parsed.port = text.substr(colon + 1);
  return parsed;
}

Result<VsockAddress> ParseVsock(std::string_view text) {
  const auto number = [](std::string_view digits) -> std::optional<uint32_t> {
    uint32_t value = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  const size_t colon = text.find(':');
  const bool with_cid = colon != std::string_view::npos;
  const std::optional<uint32_t> port = number(with_cid ? text.substr(colon + 1) : text);
  VsockAddress parsed;
  if (with_cid) parsed.cid = number(text.substr(0, colon));
  if (!port || (with_cid && !parsed.cid)) {
    return Error{Errc::kInvalidArgument, fmt::format("expected [CID:]PORT, found '{}'", text)};
  }
  parsed.port = *port;
  return parsed;
}

}  // namespace mica
