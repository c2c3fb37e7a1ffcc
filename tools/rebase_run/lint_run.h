// SPDX-License-Identifier: Apache-2.0
// What `mica fit --lint` says about policy files.
#pragma once

#include <string>
#include <vector>

#include "tools/cli/verb.h"

namespace mica {

struct LintRequest {
  std::vector<std::string> files;  // none: the built-in policy
  std::vector<std::string> below;  // policies that come before them and are not judged
};

// kDone with notices or nothing, kConflicts with warnings, kError with errors.
Result<ExitStatus> RunLint(Context& context, const LintRequest& request);

}  // namespace mica
