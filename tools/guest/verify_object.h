// SPDX-License-Identifier: Apache-2.0
// Compares one object of the result with its plan: all but its names.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/change_set.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"

namespace mica::guest {

struct ObjectCheck {
  const PlannedObject& planned;
  const Object& found;
  // What became of the target's object; null when it did not change, or when there was none.
  const ChangedObject* change = nullptr;
  bool was_in_target = false;  // the object is one of the target and not a new one
};

// One line per difference.
Result<std::vector<std::string>> CheckObject(const ObjectCheck& check, Volume& result,
                                             Volume& ours);

}  // namespace mica::guest
