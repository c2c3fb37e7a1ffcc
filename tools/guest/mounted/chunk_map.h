// SPDX-License-Identifier: Apache-2.0
// The chunks of a mounted btrfs on one device: which place of the device a logical address is.
// Read by BTRFS_IOC_TREE_SEARCH from the chunk tree.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "engine/base/result.h"

namespace mica::guest {

class ChunkMap {
 public:
  // `root`: an open directory of the file system.
  static Result<ChunkMap> Read(int root);

  // Where `length` bytes from the address on are; empty where they are not in one piece, or in
  // stripes.
  [[nodiscard]] std::optional<uint64_t> PlaceOf(uint64_t address, uint64_t length) const;

 private:
  struct Chunk {
    uint64_t length = 0;
    uint64_t place = 0;
  };
  std::map<uint64_t, Chunk> chunks_;  // by address
};

}  // namespace mica::guest
