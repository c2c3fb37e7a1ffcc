// SPDX-License-Identifier: Apache-2.0
// The change set between two versions of one volume, by the cheapest way that can tell.
#pragma once

#include <memory>
#include <vector>

#include "tools/guest/change_set.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/view.h"
#include "tools/guest/walk.h"
#include "tools/rebase/lineage.h"

namespace mica::rebase {

enum class DiffMethod : uint8_t {
  kDeltaBounded,  // from the blocks that can differ
  kWalkById,      // both trees, objects matched by inode, generation and creation time
  kWalkByPath,    // both trees, objects matched by path: the volumes have no common history
};

struct VolumeDiff {
  guest::ChangeSet changes;
  std::unique_ptr<Lineage> lineage;  // of objects that did not change
  DiffMethod method = DiffMethod::kDeltaBounded;
};

// Made for one `before` and used for any number of `after`.
class VolumeDiffer {
 public:
  // Borrows both; the index is of `before`.
  VolumeDiffer(guest::Ext4View& before, const guest::Ext4Index& index)
      : before_(before), index_(index) {}

  // `touched`: bytes of the volume outside of which the two disks are equal. The delta-bounded diff
  // where the two have one layout, else a walk. kCorrupt for directories with several names.
  Result<VolumeDiff> To(guest::Ext4View& after, std::vector<ByteRange> touched);

 private:
  Result<VolumeDiff> DiffTo(guest::Ext4View& after, std::vector<ByteRange> touched);
  Result<VolumeDiff> Walk(guest::Ext4View& after);
  [[nodiscard]] bool SameFileSystem(guest::Ext4View& after) const;

  guest::Ext4View& before_;
  const guest::Ext4Index& index_;
};

// By walking both trees; of any kind of volume. kCorrupt for directories with several names.
Result<VolumeDiff> DiffByWalk(guest::Volume& before, guest::Volume& after,
                              const guest::WalkOptions& options);

std::string_view DiffMethodName(DiffMethod method);

}  // namespace mica::rebase
