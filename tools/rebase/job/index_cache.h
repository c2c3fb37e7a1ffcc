// SPDX-License-Identifier: Apache-2.0
// The index of a sealed master's volume, kept beside the master so that all its VMs share the work:
// "golden.raw.p1.index" for partition 1. A cache: an index that is missing, damaged or another
// master's is made again.
#pragma once

#include <filesystem>

#include "engine/layer.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/view.h"
#include "tools/guest/volume_id.h"

namespace mica::rebase {

struct IndexPlace {
  LayerInfo master;  // its path and identity
  guest::VolumeId volume;
  // Where an index that had to be built is kept; empty: nowhere. It is looked for beside the
  // master.
  std::filesystem::path keep_in;
};

// Fails only when the volume cannot be indexed; that the file could not be kept is no error.
Result<guest::Ext4Index> LoadOrBuildIndex(const IndexPlace& place, guest::Ext4View& view);

}  // namespace mica::rebase
