// SPDX-License-Identifier: Apache-2.0
// The delta-bounded diff: which files changed between a master and a VM's disk, found by looking
// only at what the VM's delta touched. It also finds what a walk over both trees cannot see in the
// metadata: content overwritten in place without a change of the inode.
#pragma once

#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/change_set.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/volume.h"

namespace mica::guest {

struct DiffInput {
  Ext4Volume& before;
  const Ext4Index& index;  // of `before`
  // The same volume block by block, but for `touched`; its journal is replayed.
  Ext4Volume& after;
  // Bytes of the volume that may differ, in any order and overlap: what the delta stores and what
  // the replay of its journal wrote.
  std::vector<ByteRange> touched;
};

// Content ranges are exact to 4 KiB: every 4 KiB of the new content that differs is in one, and no
// other. kMismatch when the volumes do not have one layout (the guest moved its inode tables, or
// the index is another master's): a full walk can still tell. kCorrupt for damage in what was
// touched, kUnsupported for encrypted directories.
Result<ChangeSet> DiffVolumes(const DiffInput& input);

}  // namespace mica::guest
