// SPDX-License-Identifier: Apache-2.0
// Finds the objects of a plan in a volume that it was carried out on, by their names: for looking
// at a result later, when nobody remembers what the applier made.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"

namespace mica::guest {

// For each planned object its inode in `result`; 0: deleted by plan, or not there.
Result<std::vector<uint64_t>> FindPlanned(const Plan& plan, Volume& result);

}  // namespace mica::guest
