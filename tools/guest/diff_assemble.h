// SPDX-License-Identifier: Apache-2.0
// The last step of every diff: decides what of the candidates is a change, by the rules of
// change_set.h.
#pragma once

#include <vector>

#include "tools/guest/change_set.h"

namespace mica::guest {

// The candidates have objects, names, content_ranges, and content_changed where bytes differ. Every
// object that was created, deleted, renamed or linked is among them; of the others any superset.
// Adds what follows from the objects, drops what has not changed, and sorts.
ChangeSet AssembleChangeSet(std::vector<ChangedObject> candidates);

}  // namespace mica::guest
