// SPDX-License-Identifier: Apache-2.0
// All versions of an object that a rebase merged, as files side by side: "base" from the old
// master, "ours" from the kept delta, "theirs" from the new master; the one that lost from where it
// was saved.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/cli/verb.h"
#include "tools/rebase_run/conflict_report.h"

namespace mica {

struct ConflictVersion {
  std::string name;  // "base", "ours", "theirs"
  std::filesystem::path file;
  std::string missing;  // why there is no file; empty: there is
};

// Makes the folder, which must not exist, and the files in it. An image that is gone by now, or has
// no such object, only leaves its version out.
Result<std::vector<ConflictVersion>> CollectVersions(Context& context, const ConflictReport& report,
                                                     const ReportRecord& record,
                                                     const std::filesystem::path& folder);

// The image that the rebase made, as the report names it.
std::string ResultOf(const ConflictReport& report);

}  // namespace mica
