// SPDX-License-Identifier: Apache-2.0
// Superblock: what must be known about an ext2/3/4 file system before libext2fs may touch it.
// Layout: Documentation/filesystems/ext4/super.rst in Linux.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

struct Superblock {
  static constexpr uint64_t kOffset = 1024;
  static constexpr uint64_t kBytes = 1024;

  // kCorrupt when there is none, when it contradicts itself, or when the file system is larger than
  // the device. The bounds checked here keep the library's tables no larger than the device.
  static Result<Superblock> Read(SyncDevice& device);

  // Clears the mark that the journal must be replayed; the checksum follows.
  static Result<void> ClearNeedsRecovery(SyncDevice& device);

  uint32_t block_bytes = 0;
  uint64_t blocks = 0;
  uint32_t inodes = 0;
  uint32_t journal_inode = 0;   // 0: no internal journal
  bool needs_recovery = false;  // the journal holds changes that are not yet in place
  bool has_errors = false;      // the kernel has found damage
  std::array<std::byte, 16> uuid{};
  std::string label;
};

}  // namespace mica::guest
