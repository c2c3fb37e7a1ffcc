// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/unclassified.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/base/lines.h"

namespace mica {

namespace {

constexpr size_t kFolderDepthMax = 3;

// The folder that `path` is in, but no more than its first components: "/var/lib/grafana".
std::string FolderOf(const std::string& path) {
  const size_t leaf = path.rfind('/');
  size_t end = 0;
  for (size_t depth = 0; depth < kFolderDepthMax && end < leaf; ++depth) {
    end = std::min(path.find('/', end + 1), leaf);
  }
  return path.substr(0, end);
}

bool IsTrue(const nlohmann::json& record, const char* member) {
  return record.contains(member) && record[member].is_boolean() && record[member].get<bool>();
}

}  // namespace

void Unclassified::Add(std::string_view report) {
  ++vms_;
  std::map<std::string, uint64_t> here;
  while (!report.empty()) {
    const nlohmann::json record = nlohmann::json::parse(TakeLine(report), nullptr, false);
    const bool object = record.is_object() && record.contains("ours") && record.contains("path");
    if (!object || record["ours"].empty() || !record["path"].is_string()) continue;
    ++changes_;
    if (!IsTrue(record, "unclassified")) continue;
    ++unclassified_;
    ++here[FolderOf(record["path"].get<std::string>())];
  }
  for (const auto& [folder, changes] : here) {
    folders_[folder].changes += changes;
    ++folders_[folder].vms;
  }
}

void Unclassified::Print(Output& output, size_t failed) const {
  std::vector<std::pair<std::string, Folder>> folders(folders_.begin(), folders_.end());
  std::ranges::stable_sort(folders, std::greater(),
                           [](const auto& folder) { return folder.second.changes; });
  if (!output.json()) output.Text(fmt::format("{:>10}{:>8}  where\n", "changes", "VMs"));
  for (const auto& [name, folder] : folders) {
    const std::string pattern = name.empty() ? "/*" : name + "/**";
    if (output.json()) {
      output.Record({{"pattern", pattern}, {"changes", folder.changes}, {"vms", folder.vms}});
    } else {
      output.Text(fmt::format("{:>10}{:>8}  {}\n", folder.changes, folder.vms, pattern));
    }
  }
  if (output.json()) {
    output.Record({{"summary",
                    {{"vms", vms_},
                     {"changes", changes_},
                     {"unclassified", unclassified_},
                     {"failed", failed}}}});
  } else {
    output.Note(
        fmt::format("{} of {} changes of {} VMs match no policy rule: the defaults decide "
                    "about them{}",
                    unclassified_, changes_, vms_,
                    failed == 0 ? "" : fmt::format("; {} VMs could not be looked at", failed)));
  }
}

}  // namespace mica
