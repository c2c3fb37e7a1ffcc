// SPDX-License-Identifier: Apache-2.0
// Catching up: what is to be as it is in the target again.
#pragma once

#include <vector>

#include "engine/base/result.h"
#include "tools/guest/carried_out.h"
#include "tools/guest/catch_up.h"
#include "tools/guest/plan.h"

namespace mica::guest {

// What the earlier plan changed of the target and the later one does not mention, as if the later
// plan said that it is to be as it is there. That goes for the times of directories, too.
// kMismatch for what was deleted.
Result<std::vector<PlannedObject>> RestoredObjects(const CarriedOut& earlier, const Plan& later,
                                                   const CatchUpTarget& target);

}  // namespace mica::guest
