// SPDX-License-Identifier: Apache-2.0
// What a patch does to one volume (the change set old master -> new master), kept beside the new
// master so that all VMs share the work: "golden-v2.raw.p1.from-UUID.changes", where UUID is the
// old master's. A cache: one that is missing, damaged or of other masters is made again.
#pragma once

#include <filesystem>
#include <optional>

#include "engine/layer.h"
#include "tools/guest/volume_id.h"
#include "tools/rebase/job/volume_diff.h"

namespace mica::rebase {

struct PatchPlace {
  LayerInfo base;  // path and identity of the old master
  LayerInfo target;
  guest::VolumeId volume;
  std::vector<ByteRange> base_pieces;  // of the volume on its disk
  std::vector<ByteRange> target_pieces;
  // Where it is kept; empty: nowhere. It is looked for beside the new master.
  std::filesystem::path keep_in;
};

// Empty when it has to be worked out.
std::optional<VolumeDiff> LoadPatch(const PatchPlace& place);

// That it cannot be kept is no error. `base_inodes`: there are none above in the old master.
void KeepPatch(const PatchPlace& place, const VolumeDiff& diff, uint64_t base_inodes);

}  // namespace mica::rebase
