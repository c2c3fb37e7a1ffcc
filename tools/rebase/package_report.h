// SPDX-License-Identifier: Apache-2.0
// What the report says of packages: which side a contested one came from, and relations that the
// joined package database breaks.
#pragma once

#include "engine/base/result.h"
#include "tools/rebase/decide.h"

namespace mica::rebase {

// After every node is decided. A relation that is broken in the result, but in neither side, is an
// error.
Result<void> ReportPackages(MergeScene& scene);

}  // namespace mica::rebase
