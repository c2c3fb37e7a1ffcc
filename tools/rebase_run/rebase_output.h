// SPDX-License-Identifier: Apache-2.0
// What `mica rebase` and `mica fit` say about one VM.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tools/cli/exit_status.h"
#include "tools/rebase/job/job.h"

namespace mica {

// How the files of a rebase are called, for its report.
struct RebaseNames {
  std::string vm;
  std::string onto;
  std::string result;      // where the new delta goes
  std::string quarantine;  // or where, when an error is among the conflicts
  std::string kept;        // where the old one goes; empty: it stays
};

// One JSON object a line, a summary last: the report that docs/rebase.md describes.
std::string OutcomeJson(const rebase::JobOutcome& outcome, const RebaseNames& names);
// What a person should look at, and figures.
std::string OutcomeText(const rebase::JobOutcome& outcome, const RebaseNames& names);

ExitStatus StatusOf(const rebase::Report& report);

// Makes or replaces the file, and syncs it.
Result<void> WriteDurably(const std::filesystem::path& file, std::string_view text);

}  // namespace mica
