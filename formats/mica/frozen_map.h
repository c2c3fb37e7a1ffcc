// SPDX-License-Identifier: Apache-2.0
// FrozenMap: the part of a map that a checkpoint writes, as it was at one moment. Leaves are shared
// with the live map, which copies a leaf before it changes one that is shared.
#pragma once

#include <vector>

#include "formats/mica/region_codec.h"
#include "formats/mica/superblock.h"

namespace mica::native {

struct FrozenRegion {
  uint32_t index = 0;
  std::vector<RegionItem> items;  // dense changed leaves have `leaf` set until they are placed
  std::vector<uint32_t> changed;  // leaf indices that were changed, also to empty ones
  std::vector<SlotRun> runs;      // where the checkpoint puts it
  RegionPointer pointer;          // set when it has been encoded; slot 0: the region is empty
};

struct FrozenRoot {
  uint32_t index = 0;
  RootBlock block;      // the pointers of regions that are not frozen
  RootPointer pointer;  // set when it has been encoded
};

struct FrozenMap {
  std::vector<FrozenRegion> regions;  // ascending
  std::vector<FrozenRoot> roots;      // ascending
  std::vector<SlotRun> replaced;      // free once the checkpoint is durable
  uint64_t slots_max = 0;             // what writing it takes at most
  uint32_t epoch = 0;                 // the newest of its entries; the birth of the parts written
};

}  // namespace mica::native
