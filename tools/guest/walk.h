// SPDX-License-Identifier: Apache-2.0
// The full walk: the same change set as the delta-bounded diff, by looking at everything. The
// oracle of its tests, and the way when there is no common layout: masters not made from one
// another. It uses nothing but Volume, so the two may be of different kinds.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/change_set.h"
#include "tools/guest/volume.h"

namespace mica::guest {

enum class MatchBy : uint8_t {
  kObjectId,  // `after` is a later state of `before`
  kPath,      // they have nothing in common but paths; a rename is a deletion and a creation
};

enum class CompareContent : uint8_t {
  kAlways,           // reads every file of both volumes
  kWhenStatDiffers,  // reads only files whose size or modification time differ
};

struct WalkOptions {
  MatchBy match = MatchBy::kObjectId;
  CompareContent content = CompareContent::kAlways;
  // Whether two files of one size are known to hold the same without a look at their content, by
  // their inodes; may be empty.
  std::function<Result<bool>(uint64_t before, uint64_t after)> same_content;
};

struct WalkResult {
  // With kPath, inodes of `names_after` are the after volume's own, so names_changed() of an object
  // says nothing: its paths do.
  ChangeSet changes;
  // Inodes before and after of every object that is in both, changed or not, in order.
  std::vector<std::pair<uint64_t, uint64_t>> matched;
};

// kCorrupt when directories form a loop or an entry leads nowhere.
Result<WalkResult> WalkVolumes(Volume& before, Volume& after, WalkOptions options);

}  // namespace mica::guest
