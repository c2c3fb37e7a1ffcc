// SPDX-License-Identifier: Apache-2.0
// What `mica serve` is told: by its command line, by a file, through its control socket, and by the
// server it takes over from. All of them end in the same fields with the same checks.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/async/busy_poll.h"
#include "engine/chunk_cache.h"
#include "engine/filters/throttle_device.h"
#include "nbd/server_context.h"
#include "tools/serve/serve_log.h"
#include "tools/serve/tls_settings.h"

namespace mica {

// One value of a table.
using ConfigValue = std::variant<std::string, int64_t, bool, std::vector<std::string>>;
using ConfigFields = std::map<std::string, ConfigValue, std::less<>>;

struct ExportConfig {
  std::string name;
  std::string file;
  std::string description;            // the file when empty
  std::optional<std::string> format;  // probed when empty
  bool read_only = false;
  bool hidden = false;
  bool from_file = false;  // of the configuration: a reload may change it
  uint32_t connections_max = 64;
  ThrottleLimits limits;
  std::vector<std::string> clients;  // Export::clients
  friend bool operator==(const ExportConfig&, const ExportConfig&) = default;
};

// Memory for what can be read again.
struct CacheSizes {
  uint64_t chunk_bytes = ChunkCache::kBytesMaxDefault;  // decompressed content
  uint64_t map_bytes = 0;  // maps of all images; 0: ParentCacheOptions' default for each loop
};

struct ServeConfig {
  std::vector<std::string> sockets;
  std::vector<std::string> addresses;  // HOST:PORT
  std::vector<std::string> vsocks;     // [CID:]PORT
  bool stdio = false;                  // one client at stdin and stdout
  TlsSettings tls;
  std::vector<ExportConfig> exports;
  std::optional<std::string> control;
  std::optional<std::string> metrics_address;
  std::optional<std::string> metrics_file;
  std::optional<std::string> user;
  bool sandbox = true;
  uint32_t threads = 0;  // 0: one for each core
  std::chrono::microseconds busy_poll = BusyPoll::kServerMax;
  CacheSizes caches;
  LogFormat log_format = LogFormat::kText;
  nbd::ServerOptions server;
};

inline constexpr uint32_t kServeThreadsMax = 256;
inline constexpr int64_t kBusyPollMicrosecondsMax = 10'000;

// kInvalidArgument, naming the key, for an unknown key, a value of the wrong type or out of bounds,
// or a missing name or file.
Result<ExportConfig> ExportFromFields(const ConfigFields& fields);
// What ExportFromFields would take.
ConfigFields FieldsOf(const ExportConfig& config);
// The table of the server; `into` keeps what the fields do not say.
Result<void> ServerFromFields(const ConfigFields& fields, ServeConfig& into);
// Its `limits` table.
Result<void> LimitsFromFields(const ConfigFields& fields, ServeConfig& into);
// kInvalidArgument for anything but "text" and "json".
Result<LogFormat> ParseLogFormat(std::string_view name);

// What ServerFromFields and LimitsFromFields would take, but for the sockets.
ConfigFields ServerFieldsOf(const ServeConfig& config);
ConfigFields LimitFieldsOf(const ServeConfig& config);

// A TOML document: the keys of ServerFromFields, `[limits]`, and `[[export]]` tables. Errors name
// the line.
Result<void> ServeConfigFromToml(std::string_view text, ServeConfig& into);
// The same from a file of at most a MiB.
Result<void> ServeConfigFromFile(const std::filesystem::path& path, ServeConfig& into);

}  // namespace mica
