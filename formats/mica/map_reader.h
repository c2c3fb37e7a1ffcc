// SPDX-License-Identifier: Apache-2.0
// Reading single parts of a map from the file, verified by the hash of the pointer that names them.
// Errors of damage name the part, its number and its place, but no path.
#pragma once

#include <memory>
#include <vector>

#include "engine/io/block_file.h"
#include "formats/mica/region_codec.h"
#include "formats/mica/superblock.h"

namespace mica::native {

Async<RootBlock> ReadRootBlock(BlockFile& file, RootPointer pointer, uint32_t root_index);

struct StoredRegion {
  std::vector<SlotRun> runs;  // where it lies
  RegionContent content;
};
Async<StoredRegion> ReadRegion(BlockFile& file, RegionPointer pointer, uint64_t tag,
                               uint32_t region_index);

// `number` is that of the leaf, counted from the beginning of the disk.
Async<std::shared_ptr<Leaf>> ReadDenseLeaf(BlockFile& file, DensePointer pointer, uint64_t number);

}  // namespace mica::native
