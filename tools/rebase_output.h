// SPDX-License-Identifier: Apache-2.0
// What `fit` and `rebase` say: the outcome on stdout and the report in its file.
#pragma once

#include <filesystem>

#include "tools/output.h"
#include "tools/rebase/job/job.h"

namespace mica {

// For people, entries by severity (those that are no more than information are counted), then what
// was made and how long each step took; with --json one record an entry and the summary last.
void PrintOutcome(Output& output, const rebase::JobOutcome& outcome);

// One JSON record an entry and the summary last; synced. An existing report is replaced.
Result<void> WriteReport(const std::filesystem::path& file, const rebase::JobInput& input,
                         const rebase::JobOutcome& outcome);

}  // namespace mica
