// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/nbd_uri.h"

#include <fmt/core.h>

#include <array>
#include <charconv>

namespace mica {

namespace {

Error Bad(std::string_view text, std::string_view why) {
  return Error{Errc::kInvalidArgument,
               fmt::format("'{}': {}; expected nbd://HOST[:PORT]/NAME, "
                           "nbd+unix:///NAME?socket=PATH or nbd+vsock://CID[:PORT]/NAME (nbds… "
                           "with TLS), as `mica serve` prints it",
                           text, why)};
}

std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, failed] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || failed != std::errc() || end != digits.data() + 2 || value == 0) {
      return std::nullopt;
    }
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

struct SchemeRow {
  std::string_view name;
  NbdUri::Transport transport;
  bool tls;
};
constexpr std::array kSchemes = {
    SchemeRow{"nbd", NbdUri::Transport::kTcp, false},
    SchemeRow{"nbds", NbdUri::Transport::kTcp, true},
    SchemeRow{"nbd+unix", NbdUri::Transport::kUnix, false},
    SchemeRow{"nbds+unix", NbdUri::Transport::kUnix, true},
    SchemeRow{"nbd+vsock", NbdUri::Transport::kVsock, false},
    SchemeRow{"nbds+vsock", NbdUri::Transport::kVsock, true},
};

// "HOST", "HOST:PORT", "[IPv6]" or "[IPv6]:PORT"; a user in front is not ours.
bool ParseAuthority(std::string_view text, NbdUri& uri) {
  text = text.substr(text.rfind('@') == std::string_view::npos ? 0 : text.rfind('@') + 1);
  const size_t bracket = text.starts_with('[') ? text.find(']') : std::string_view::npos;
  const size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  uri.host =
      bracket == std::string_view::npos ? text.substr(0, colon) : text.substr(1, bracket - 1);
  if (colon != std::string_view::npos) uri.port = text.substr(colon + 1);
  const bool number =
      !uri.port.empty() && uri.port.find_first_not_of("0123456789") == std::string::npos;
  return !uri.host.empty() && number;
}

std::string_view Parameter(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    if (pair.starts_with(key) && pair.substr(key.size()).starts_with('=')) {
      return pair.substr(key.size() + 1);
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

}  // namespace

Result<NbdUri> ParseNbdUri(std::string_view text) {
  const size_t separator = text.find("://");
  const std::string_view scheme = text.substr(0, separator);
  const SchemeRow* row = nullptr;
  for (const SchemeRow& known : kSchemes) {
    if (known.name == scheme) row = &known;
  }
  if (separator == std::string_view::npos || row == nullptr) return Bad(text, "not an NBD URI");
  NbdUri uri{.transport = row->transport, .tls = row->tls};
  std::string_view rest = text.substr(separator + 3);
  const size_t question = rest.find('?');
  const std::string_view query =
      question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
  rest = rest.substr(0, question);
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view path = rest.substr(std::min(slash + 1, rest.size()));
  const std::optional<std::string> name = PercentDecoded(path);
  const std::optional<std::string> socket = PercentDecoded(Parameter(query, "socket"));
  if (!name || !socket) return Bad(text, "a '%' without two hexadecimal digits");
  uri.export_name = *name;
  uri.socket = *socket;
  if (uri.transport == NbdUri::Transport::kUnix) {
    if (uri.socket.empty()) return Bad(text, "it names no socket");
  } else if (!ParseAuthority(rest.substr(0, slash), uri)) {
    return Bad(text, "it names no host");
  }
  return uri;
}

}  // namespace mica
