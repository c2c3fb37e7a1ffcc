// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/serve_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "tools/cli/output.h"
#include "tools/serve/config_json.h"

namespace mica {

namespace {

std::string_view NameOf(nbd::Severity severity) {
  switch (severity) {
    case nbd::Severity::kDebug:
      return "debug";
    case nbd::Severity::kInfo:
      return "info";
    case nbd::Severity::kWarning:
      return "warning";
    case nbd::Severity::kError:
      return "error";
  }
  return "error";
}

// RFC 3339, in UTC, to the millisecond.
std::string TimeText() {
  using std::chrono::system_clock;
  const auto now = std::chrono::floor<std::chrono::milliseconds>(system_clock::now());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(system_clock::to_time_t(seconds)),
                     (now - seconds).count());
}

}  // namespace

void ServeLog::Write(const nbd::Event& event) {
  if (event.severity < from_) return;
  if (format_ == LogFormat::kText) {
    const bool plain = event.severity < nbd::Severity::kWarning;
    PrintError(fmt::format("{}{}{}", plain ? "" : NameOf(event.severity), plain ? "" : ": ",
                           nbd::TextOf(event)));
    return;
  }
  nlohmann::json line{
      {"time", TimeText()}, {"severity", NameOf(event.severity)}, {"message", event.message}};
  if (!event.peer.empty()) line["peer"] = event.peer;
  if (!event.export_name.empty()) line["export"] = event.export_name;
  PrintLine(JsonLine(line));
}

}  // namespace mica
