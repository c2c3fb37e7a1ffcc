// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fleet/vm_row.h"

#include <algorithm>

namespace mica::rebase {

std::optional<VmState> ParseVmState(std::string_view name) {
  const auto found = std::ranges::find(kVmStateNames, name);
  if (found == kVmStateNames.end()) return std::nullopt;
  return static_cast<VmState>(found - kVmStateNames.begin());
}

nlohmann::json ToJson(const VmRow& row) {
  nlohmann::json json = {{"vm", row.vm},
                         {"state", VmStateName(row.state)},
                         {"attempts", row.attempts},
                         {"seconds", row.seconds}};
  if (!row.message.empty()) json["message"] = row.message;
  if (!row.summary.is_null()) json["summary"] = row.summary;
  return json;
}

std::optional<VmRow> RowFromJson(const nlohmann::json& json) {
  const auto is = [&json](const char* name, auto test) {
    return json.contains(name) && test(json[name]);
  };
  const auto text = [](const nlohmann::json& value) { return value.is_string(); };
  const auto number = [](const nlohmann::json& value) { return value.is_number(); };
  if (!json.is_object() || !is("vm", text) || !is("state", text)) return std::nullopt;
  const std::optional<VmState> state = ParseVmState(json["state"].get<std::string>());
  if (!state) return std::nullopt;
  VmRow row;
  row.vm = json["vm"];
  row.state = *state;
  if (is("attempts", number)) row.attempts = json["attempts"];
  if (is("seconds", number)) row.seconds = json["seconds"];
  if (is("message", text)) row.message = json["message"];
  if (json.contains("summary")) row.summary = json["summary"];
  return row;
}

}  // namespace mica::rebase
