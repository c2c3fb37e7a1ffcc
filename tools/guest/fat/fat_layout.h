// SPDX-License-Identifier: Apache-2.0
// Where the parts of a FAT file system are, from its boot sector, and its table of clusters.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

class FatLayout {
 public:
  // Reads the table, too. kCorrupt when the boot sector is impossible; kLimit when the table is
  // larger than this looks at.
  static Result<FatLayout> Read(SyncDevice& device);

  [[nodiscard]] uint64_t cluster_bytes() const noexcept { return cluster_bytes_; }
  [[nodiscard]] uint32_t clusters() const noexcept { return clusters_; }
  // Of FAT32; 0: the root directory is root_range().
  [[nodiscard]] uint32_t root_cluster() const noexcept { return root_cluster_; }
  [[nodiscard]] ByteRange root_range() const noexcept { return root_; }
  // Of a cluster that Chain has given.
  [[nodiscard]] uint64_t OffsetOf(uint32_t cluster) const noexcept {
    return data_ + (cluster - kFirstCluster) * cluster_bytes_;
  }
  // The clusters of a chain in order. kCorrupt when it leaves the file system, does not end or has
  // more than `clusters_max`.
  [[nodiscard]] Result<std::vector<uint32_t>> Chain(uint32_t first, uint64_t clusters_max) const;

 private:
  static constexpr uint32_t kFirstCluster = 2;

  [[nodiscard]] uint32_t Next(uint32_t cluster) const;
  [[nodiscard]] bool IsCluster(uint32_t number) const noexcept {
    return number >= kFirstCluster && number - kFirstCluster < clusters_;
  }

  uint64_t cluster_bytes_ = 0;
  uint32_t clusters_ = 0;
  uint32_t root_cluster_ = 0;
  ByteRange root_;
  uint64_t data_ = 0;  // offset of the first cluster
  int entry_bits_ = 0;
  std::vector<std::byte> table_;
};

}  // namespace mica::guest
