// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/serve_config.h"

#include <fmt/format.h>

#include <chrono>

#include "nbd/event_log.h"
#include "nbd/wire.h"
#include "tools/cli/parse.h"

namespace mica {

namespace {

Error WrongValue(std::string_view key, std::string_view expected) {
  return Error{Errc::kInvalidArgument, fmt::format("{}: expected {}", key, expected)};
}

// Takes the fields of one table one after another; what is left at the end is unknown.
class FieldReader {
 public:
  explicit FieldReader(const ConfigFields& fields) : rest_(fields) {}

  Result<void> Text(std::string_view key, std::string& into) {
    return Take<std::string>(key, "text in quotation marks",
                             [&](const std::string& value) { into = value; });
  }
  Result<void> Text(std::string_view key, std::optional<std::string>& into) {
    return Take<std::string>(key, "text in quotation marks",
                             [&](const std::string& value) { into = value; });
  }
  Result<void> Flag(std::string_view key, bool& into) {
    return Take<bool>(key, "true or false", [&](bool value) { into = value; });
  }
  Result<void> List(std::string_view key, std::vector<std::string>& into) {
    using Texts = std::vector<std::string>;
    return Take<Texts>(key, "a list of texts", [&](const Texts& value) { into = value; });
  }

  struct Bounds {
    uint64_t min = 0;
    uint64_t max = UINT64_MAX;
  };
  // A number, or a size such as "64M".
  template <class T>
  Result<void> Number(std::string_view key, T& into, Bounds bounds) {
    const auto found = rest_.find(key);
    if (found == rest_.end()) return {};
    uint64_t number = 0;
    if (const auto* const text = std::get_if<std::string>(&found->second)) {
      Result<uint64_t> size = ParseSize(*text);
      if (!size) return std::move(size).error().WithContext(key);
      number = *size;
    } else if (const auto* const value = std::get_if<int64_t>(&found->second);
               value != nullptr && *value >= 0) {
      number = static_cast<uint64_t>(*value);
    } else {
      return WrongValue(key, "a number or a size such as \"64M\"");
    }
    if (number < bounds.min || number > bounds.max) {
      return WrongValue(key, fmt::format("{} to {}, found {}", bounds.min, bounds.max, number));
    }
    into = static_cast<T>(number);
    rest_.erase(found);
    return {};
  }

  Result<void> Finish() const {
    if (rest_.empty()) return {};
    return Error{Errc::kInvalidArgument, fmt::format("{} is not a key that is known here",
                                                     nbd::Quoted(rest_.begin()->first))};
  }

 private:
  template <class T, class Use>
  Result<void> Take(std::string_view key, std::string_view expected, Use use) {
    const auto found = rest_.find(key);
    if (found == rest_.end()) return {};
    const T* const value = std::get_if<T>(&found->second);
    if (value == nullptr) return WrongValue(key, expected);
    use(*value);
    rest_.erase(found);
    return {};
  }

  ConfigFields rest_;
};

constexpr FieldReader::Bounds kConnections{1, 100'000};
constexpr FieldReader::Bounds kSeconds{1, 86'400};
constexpr uint64_t kTebibyte = uint64_t{1} << 40;

Result<void> CheckExport(const ExportConfig& config) {
  if (config.file.empty()) return WrongValue("file", "the path of an image");
  for (const std::string* const text : {&config.name, &config.description}) {
    if (text->size() > nbd::kStringBytesMax || text->find('\0') != std::string::npos) {
      return WrongValue("name", "at most 4096 bytes without NUL");
    }
  }
  for (const std::string& rule : config.clients) TRY(CheckClientRule(rule));
  return {};
}

}  // namespace

Result<ExportConfig> ExportFromFields(const ConfigFields& fields) {
  ExportConfig config;
  FieldReader reader(fields);
  TRY(reader.Text("file", config.file));
  config.name = std::filesystem::path(config.file).stem().native();
  TRY(reader.Text("name", config.name));
  TRY(reader.Text("description", config.description));
  TRY(reader.Text("format", config.format));
  TRY(reader.Flag("read-only", config.read_only));
  TRY(reader.Flag("hidden", config.hidden));
  TRY(reader.Number("connections", config.connections_max, kConnections));
  TRY(reader.Number("iops", config.limits.requests, {}));
  TRY(reader.Number("bandwidth", config.limits.bytes, {}));
  TRY(reader.List("clients", config.clients));
  TRY(reader.Finish());
  TRY(CheckExport(config));
  return config;
}

ConfigFields FieldsOf(const ExportConfig& config) {
  ConfigFields fields{{"name", config.name},
                      {"file", config.file},
                      {"read-only", config.read_only},
                      {"hidden", config.hidden},
                      {"connections", int64_t{config.connections_max}},
                      {"iops", static_cast<int64_t>(config.limits.requests)},
                      {"bandwidth", static_cast<int64_t>(config.limits.bytes)}};
  if (!config.description.empty()) fields.emplace("description", config.description);
  if (config.format) fields.emplace("format", *config.format);
  if (!config.clients.empty()) fields.emplace("clients", config.clients);
  return fields;
}

Result<LogFormat> ParseLogFormat(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return WrongValue("log-format", fmt::format("text or json, found {}", nbd::Quoted(name)));
}

Result<void> LimitsFromFields(const ConfigFields& fields, ServeConfig& into) {
  using nbd::ServerLimits;
  ServerLimits& limits = into.server.limits;
  FieldReader reader(fields);
  TRY(reader.Number("connections", limits.connections_max, kConnections));
  TRY(reader.Number("options", limits.options_max, {1, 100'000}));
  uint64_t handshake = 0;
  uint64_t drain = 0;
  uint64_t stall = 0;
  TRY(reader.Number("handshake-seconds", handshake, kSeconds));
  TRY(reader.Number("drain-seconds", drain, kSeconds));
  TRY(reader.Number("stall-seconds", stall, kSeconds));
  if (handshake != 0) limits.handshake_timeout = std::chrono::seconds(handshake);
  if (drain != 0) limits.drain_timeout = std::chrono::seconds(drain);
  if (stall != 0) limits.stall_timeout = std::chrono::seconds(stall);
  constexpr FieldReader::Bounds kShared{ServerLimits::kInFlightBytesMin, kTebibyte};
  TRY(reader.Number("requests", limits.in_flight_requests_max, {1, 1u << 20}));
  TRY(reader.Number("connection-memory", limits.in_flight_bytes_max, {1u << 20, kTebibyte}));
  TRY(reader.Number("export-memory", limits.export_in_flight_bytes_max, kShared));
  TRY(reader.Number("memory", limits.server_in_flight_bytes_max, kShared));
  TRY(reader.Number("chunk-cache", into.caches.chunk_bytes, {0, kTebibyte}));
  TRY(reader.Number("map-cache", into.caches.map_bytes, {1u << 20, kTebibyte}));
  return reader.Finish();
}

Result<void> ServerFromFields(const ConfigFields& fields, ServeConfig& into) {
  FieldReader reader(fields);
  TRY(reader.List("socket", into.sockets));
  TRY(reader.List("listen", into.addresses));
  TRY(reader.List("vsock", into.vsocks));
  std::optional<std::string> tls;
  TRY(reader.Text("tls", tls));
  if (tls) {
    ASSIGN(into.tls.mode, ParseTlsMode(*tls));
  }
  TRY(reader.Text("tls-certificates", into.tls.certificates));
  TRY(reader.Text("tls-psk", into.tls.psk_file));
  TRY(reader.Flag("tls-any-client", into.tls.any_client));
  TRY(reader.Text("control", into.control));
  TRY(reader.Text("metrics-listen", into.metrics_address));
  TRY(reader.Text("metrics-file", into.metrics_file));
  TRY(reader.Text("user", into.user));
  TRY(reader.Flag("sandbox", into.sandbox));
  TRY(reader.Number("threads", into.threads, {1, kServeThreadsMax}));
  int64_t busy_poll = into.busy_poll.count();
  TRY(reader.Number("busy-poll-microseconds", busy_poll, {0, kBusyPollMicrosecondsMax}));
  into.busy_poll = std::chrono::microseconds(busy_poll);
  std::optional<std::string> log_format;
  TRY(reader.Text("log-format", log_format));
  if (log_format) {
    ASSIGN(into.log_format, ParseLogFormat(*log_format));
  }
  bool list_names = true;
  TRY(reader.Flag("list-names", list_names));
  if (!list_names) into.server.listing = nbd::NameListing::kHidden;
  return reader.Finish();
}

ConfigFields ServerFieldsOf(const ServeConfig& config) {
  ConfigFields fields{{"sandbox", config.sandbox},
                      {"busy-poll-microseconds", int64_t{config.busy_poll.count()}},
                      {"list-names", config.server.listing == nbd::NameListing::kShown}};
  if (config.metrics_file) fields.emplace("metrics-file", *config.metrics_file);
  if (config.user) fields.emplace("user", *config.user);
  if (config.threads != 0) fields.emplace("threads", int64_t{config.threads});
  if (config.log_format == LogFormat::kJson) fields.emplace("log-format", "json");
  return fields;
}

ConfigFields LimitFieldsOf(const ServeConfig& config) {
  const nbd::ServerLimits& limits = config.server.limits;
  const auto number = [](uint64_t value) { return static_cast<int64_t>(value); };
  const auto seconds = [](std::chrono::nanoseconds time) {
    return int64_t{std::chrono::duration_cast<std::chrono::seconds>(time).count()};
  };
  ConfigFields fields{{"connections", number(limits.connections_max)},
                      {"options", number(limits.options_max)},
                      {"handshake-seconds", seconds(limits.handshake_timeout)},
                      {"drain-seconds", seconds(limits.drain_timeout)},
                      {"stall-seconds", seconds(limits.stall_timeout)},
                      {"requests", number(limits.in_flight_requests_max)},
                      {"connection-memory", number(limits.in_flight_bytes_max)},
                      {"export-memory", number(limits.export_in_flight_bytes_max)},
                      {"memory", number(limits.server_in_flight_bytes_max)},
                      {"chunk-cache", number(config.caches.chunk_bytes)}};
  if (config.caches.map_bytes != 0) fields.emplace("map-cache", number(config.caches.map_bytes));
  return fields;
}

}  // namespace mica
