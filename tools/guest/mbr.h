// SPDX-License-Identifier: Apache-2.0
// The partition table in sector 0 that PCs have had since 1983, with its chain of extended
// partitions.
#pragma once

#include "engine/base/bytes.h"
#include "tools/guest/partition_table.h"

namespace mica::guest {

enum class MbrKind : uint8_t {
  kNone,        // no table: no signature, or the boot sector of a file system
  kTable,       // at least one partition
  kProtective,  // an entry says that the table is a GPT
};

MbrKind RecogniseMbr(ConstBytes sector, uint64_t disk_bytes);

// `sector` is sector 0, recognised as kTable.
Result<PartitionTable> ReadMbr(SyncDevice& device, ConstBytes sector);

}  // namespace mica::guest
