// SPDX-License-Identifier: Apache-2.0
#include "engine/base/parse_size.h"

#include <fmt/core.h>

#include <charconv>

#include "engine/base/checked_math.h"

namespace mica {

namespace {

// The factor a suffix stands for; 0 for what is no suffix.
uint64_t FactorOf(char suffix) noexcept {
  switch (suffix) {
    case 'k':
    case 'K':
      return uint64_t{1} << 10;
    case 'm':
    case 'M':
      return uint64_t{1} << 20;
    case 'g':
    case 'G':
      return uint64_t{1} << 30;
    case 't':
    case 'T':
      return uint64_t{1} << 40;
    default:
      return 0;
  }
}

Error NoSize(std::string_view text) {
  return {Errc::kInvalidArgument,
          fmt::format("expected a size such as 4096, 64K, 512M, 10G or 2T, found '{}'", text)};
}

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  uint64_t number = 0;
  const auto [rest, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status == std::errc::result_out_of_range) {
    return Error{Errc::kInvalidArgument, fmt::format("the size '{}' does not fit 64 bits", text)};
  }
  if (status != std::errc{}) return NoSize(text);
  const std::string_view suffix(rest, static_cast<size_t>(text.data() + text.size() - rest));
  if (suffix.empty()) return number;
  const uint64_t factor = suffix.size() == 1 ? FactorOf(suffix.front()) : 0;
  if (factor == 0) return NoSize(text);
  const std::optional<uint64_t> size = CheckedMultiply(number, factor);
  if (!size) {
    return Error{Errc::kInvalidArgument, fmt::format("the size '{}' does not fit 64 bits", text)};
  }
  return *size;
}

}  // namespace mica
