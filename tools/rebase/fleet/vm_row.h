// SPDX-License-Identifier: Apache-2.0
// One VM of a fleet job: what the journal keeps of it and the report shows.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace mica::rebase {

enum class VmState : uint8_t {
  kPending,
  kRunning,
  kSwitched,     // rebased, nothing to look at
  kConflicts,    // rebased; losing versions were saved
  kAlready,      // stood on the new master before, and there is no report of how
  kBusy,         // in use; a later run tries again
  kQuarantined,  // as it was; the result waits for a person
  kBlocked,      // as it was; there is no result
  kFailed,       // as it was
};

inline constexpr std::array<std::string_view, 9> kVmStateNames = {
    "pending", "running",     "switched", "conflicts", "already",
    "busy",    "quarantined", "blocked",  "failed"};

constexpr std::string_view VmStateName(VmState state) {
  return kVmStateNames[static_cast<size_t>(state)];
}
std::optional<VmState> ParseVmState(std::string_view name);

// The VM is on the new master.
constexpr bool IsDone(VmState state) {
  return state == VmState::kSwitched || state == VmState::kConflicts || state == VmState::kAlready;
}
// It stays on its old master until somebody does something about it.
constexpr bool IsBad(VmState state) {
  return state == VmState::kQuarantined || state == VmState::kBlocked || state == VmState::kFailed;
}

struct VmRow {
  std::string vm;  // path, as the job's list has it
  VmState state = VmState::kPending;
  uint32_t attempts = 0;
  std::string message;     // of a failure
  double seconds = 0;      // of the last attempt
  nlohmann::json summary;  // of its report; null when there is none
};

nlohmann::json ToJson(const VmRow& row);
// Empty when it is not one.
std::optional<VmRow> RowFromJson(const nlohmann::json& json);

}  // namespace mica::rebase
