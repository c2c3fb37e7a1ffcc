// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/output_text.h"

#include <fmt/core.h>

#include <array>
#include <ctime>
#include <string_view>

namespace mica {

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  uint64_t whole = bytes;
  while (whole >= 1024 && unit + 1 < kUnits.size()) {
    whole >>= 10;
    ++unit;
  }
  const uint64_t factor = uint64_t{1} << (10 * unit);
  if (bytes % factor == 0) return fmt::format("{} {}", whole, kUnits[unit]);
  const double value = static_cast<double>(bytes) / static_cast<double>(factor);
  const int decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, kUnits[unit]);
}

std::string FormatBytesExactly(uint64_t bytes) {
  return fmt::format("{} ({} bytes)", FormatBytes(bytes), bytes);
}

std::string FormatTime(uint64_t seconds_since_1970) {
  constexpr uint64_t kYear9999 = 253'402'300'799;
  if (seconds_since_1970 > kYear9999) return "-";
  const auto seconds = static_cast<std::time_t>(seconds_since_1970);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string FormatDuration(std::chrono::seconds duration) {
  const int64_t seconds = duration.count();
  if (seconds < 3600) return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string FormatHex(std::span<const uint8_t> bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace mica
