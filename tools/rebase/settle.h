// SPDX-License-Identifier: Apache-2.0
// After every object has been decided by itself: makes one tree of the results. A directory that
// holds something stays; directories are not inside themselves; a name belongs to one object.
#pragma once

#include "engine/base/result.h"
#include "tools/rebase/decide.h"

namespace mica::rebase {

Result<void> SettleTree(MergeScene& scene);

}  // namespace mica::rebase
