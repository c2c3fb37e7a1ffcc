// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/coverage.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>

namespace mica::rebase {
namespace {

using Entries = std::map<std::string_view, const ReportEntry*>;

Entries ByPath(const Report& report) {
  Entries entries;
  for (const ReportEntry& entry : report.entries()) {
    if (entry.topic != Topic::kObject) continue;
    entries.emplace(entry.path, &entry);
    for (const std::string& path : entry.other_paths) entries.emplace(path, &entry);
  }
  return entries;
}

Error Uncovered(std::string_view path, const char* what) {
  return Error{Errc::kCorrupt, fmt::format("planner: {}: {}; nothing was written", path, what)};
}

}  // namespace

Result<void> CheckCoverage(const PlanInput& input, const PlanOutcome& outcome) {
  const Entries entries = ByPath(outcome.report);
  std::set<uint64_t> from_ours;
  for (const guest::PlannedObject& object : outcome.plan.objects) {
    const auto* content = std::get_if<guest::OursContent>(&object.content);
    if (content != nullptr) from_ours.insert(content->inode);
  }
  for (const guest::ChangedObject& change : input.ours.objects) {
    for (const auto* names : {&change.names_before, &change.names_after}) {
      for (const guest::Name& name : *names) {
        if (!entries.contains(name.path)) {
          return Uncovered(name.path,
                           "the VM changed it, and the report does not say what became of it");
        }
      }
    }
    const bool file = change.after && change.after->kind == guest::ObjectKind::kRegular;
    if (!file || change.names_after.empty()) continue;
    const ReportEntry& entry = *entries.at(change.names_after.front().path);
    // A file that was written anew with the bytes it had needs no carrying.
    const bool new_content = entry.ours.created || entry.ours.content;
    const bool carried = entry.action == Action::kCarried && new_content && entry.merger.empty();
    const bool changed = !change.before || change.content_changed;
    if (carried && changed && !from_ours.contains(change.after->id.inode)) {
      return Uncovered(entry.path, "reported as carried, but the plan does not carry it");
    }
  }
  return {};
}

}  // namespace mica::rebase
