// SPDX-License-Identifier: Apache-2.0
// How much attention one entry of a rebase report wants, and which of the two sides it speaks of.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mica::rebase {

enum class Severity : uint8_t {
  kInfo,    // clean
  kNotice,  // decided by a rule, or a harmless consequence worth a line
  kWarn,    // both sides wanted something else; the losing version was saved
  kError,   // the new delta is built, but kept in quarantine until a person accepts it
  kBlock,   // no new delta
};

inline constexpr std::array<std::string_view, 5> kSeverityNames = {"info", "notice", "warn",
                                                                   "error", "block"};

constexpr std::string_view SeverityName(Severity severity) {
  return kSeverityNames[static_cast<size_t>(severity)];
}

// ours: the VM's changes; theirs: the new master's.
enum class Side : uint8_t { kOurs, kTheirs };

constexpr Side Other(Side side) {
  return side == Side::kOurs ? Side::kTheirs : Side::kOurs;
}
constexpr std::string_view SideName(Side side) {
  return side == Side::kOurs ? "ours" : "theirs";
}

}  // namespace mica::rebase
