// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fleet/fleet_report.h"

namespace mica::rebase {

namespace {

using Json = nlohmann::json;

void Count(Json& counts, const std::string& name, uint64_t by) {
  Json& count = counts[name];
  count = (count.is_null() ? 0 : count.get<uint64_t>()) + by;
}

// Adds up what the summaries of the VMs' reports count under `name`.
void AddCounts(Json& totals, const Json& summary, const char* name) {
  const auto counts = summary.find(name);
  if (counts == summary.end() || !counts->is_object()) return;
  for (const auto& [key, value] : counts->items()) {
    if (value.is_number_unsigned()) Count(totals, key, value.get<uint64_t>());
  }
}

uint64_t NumberAt(const Json& summary, const char* group, const char* name) {
  const auto found = summary.find(group);
  if (found == summary.end() || !found->is_object()) return 0;
  const auto number = found->find(name);
  return number != found->end() && number->is_number_unsigned() ? number->get<uint64_t>() : 0;
}

}  // namespace

Json FleetReport(const FleetFacts& facts, const std::vector<VmRow>& rows) {
  Json states = Json::object();
  Json conflicts = Json::object();
  Json severities = Json::object();
  Json bytes = {{"before", 0}, {"after", 0}, {"shared", 0}, {"dropped", 0}};
  Json vms = Json::array();
  for (const VmRow& row : rows) {
    Count(states, std::string(VmStateName(row.state)), 1);
    vms.push_back(ToJson(row));
    if (!row.summary.is_object()) continue;
    AddCounts(conflicts, row.summary, "conflicts");
    AddCounts(severities, row.summary, "counts");
    if (!IsDone(row.state)) continue;
    Count(bytes, "before", NumberAt(row.summary, "delta_before", "file-bytes"));
    Count(bytes, "after", NumberAt(row.summary, "delta_after", "file-bytes"));
    Count(bytes, "shared", NumberAt(row.summary, "delta_after", "shared-bytes"));
    Count(bytes, "dropped", NumberAt(row.summary, "delta_after", "dropped-bytes"));
  }
  Json report = {{"onto", facts.onto},       {"onto_identity", facts.onto_identity},
                 {"seconds", facts.seconds}, {"states", std::move(states)},
                 {"conflicts", conflicts},   {"severities", severities},
                 {"bytes", bytes},           {"vms", std::move(vms)}};
  if (!facts.stopped.empty()) report["stopped"] = facts.stopped;
  return report;
}

}  // namespace mica::rebase
