// SPDX-License-Identifier: Apache-2.0
// What BlockMap is made of. Included by block_map*.cc only.
#pragma once

#include "formats/mica/block_map.h"

namespace mica::native {

// A leaf that is not absent. Sparse and uniform leaves are loaded with their region; dense ones on
// their own.
struct BlockMap::Node {
  std::shared_ptr<Leaf> leaf;  // null: a dense leaf that is not loaded
  DensePointer disk;           // the dense encoding on disk, if there is one
  size_t item_bytes = 0;       // in the encoding of the region
  bool dirty = false;          // changed since the last Freeze
  bool writing = false;        // changed before it, and not installed yet
  bool loading = false;

  [[nodiscard]] bool DirtyDense() const noexcept {
    return dirty && leaf->shape() == LeafShape::kDense;
  }
};

struct BlockMap::Region {
  explicit Region(uint32_t region_index) : index(region_index) {}

  const uint32_t index;
  std::array<std::unique_ptr<Node>, kLeavesPerRegion> nodes;
  std::vector<SlotRun> runs;  // where it is on disk
  uint32_t birth = 0;         // the epoch in which it was written there
  size_t item_bytes = 0;      // of all nodes
  uint32_t dirty_dense = 0;   // nodes
  uint32_t users = 0;         // pins and loads
  bool dirty = false;
  bool writing = false;
};

struct BlockMap::Root {
  RootPointer disk;
  bool loaded = false;
  bool loading = false;
  RootBlock pointers;                            // empty: all absent
  std::vector<std::unique_ptr<Region>> regions;  // as many as pointers; null: not loaded
  std::vector<bool> region_loading;
};

}  // namespace mica::native
