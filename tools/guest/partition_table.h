// SPDX-License-Identifier: Apache-2.0
// Partition tables of a guest disk: GPT (UEFI specification 2.10, chapter 5) and MBR with extended
// partitions. Read only; content is hostile: every chain and count is bounded.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

// The 16 bytes as they stand on the disk (the first three fields are little-endian).
struct Guid {
  std::array<std::byte, 16> bytes{};
  [[nodiscard]] std::string ToString() const;  // "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
  [[nodiscard]] bool empty() const noexcept;
  friend bool operator==(const Guid&, const Guid&) = default;
};

enum class PartitionScheme : uint8_t { kNone, kMbr, kGpt };

struct Partition {
  uint32_t number = 0;  // as Linux numbers them: from 1; logical ones of an MBR from 5
  ByteRange range;      // bytes of the disk
  uint8_t mbr_type = 0;
  Guid type;         // GPT
  Guid unique;       // GPT
  std::string name;  // GPT, UTF-8
};

struct PartitionTable {
  PartitionScheme scheme = PartitionScheme::kNone;
  std::vector<Partition> partitions;  // by number
  bool from_backup = false;           // the first GPT was damaged, its copy at the end was used
};

// kNone when sector 0 is no partition table. kCorrupt when it is one and is damaged: bad checksums
// in both copies, partitions beyond the disk or over each other, a loop of extended partitions.
Result<PartitionTable> ReadPartitionTable(SyncDevice& device);

}  // namespace mica::guest
