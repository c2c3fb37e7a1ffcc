// SPDX-License-Identifier: Apache-2.0
// The conflicts of a rebase, as its report tells them, and the versions that lost.
#pragma once

#include <string>

#include "tools/cli/verb.h"

namespace mica {

struct ConflictRequest {
  std::string report;
  std::string path;    // inside the image; empty: all conflicts are listed
  std::string folder;  // where all versions of `path` go; empty: the loser goes to stdout
};

// kNotFound when the path or its losing version is not there, kCorrupt when the saved file is not
// what the rebase saved; both say what was found and what helps.
Result<ExitStatus> ShowConflict(Context& context, const ConflictRequest& request);

}  // namespace mica
