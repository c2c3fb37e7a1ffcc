// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/guest/partition_table.h"

namespace mica::guest {

// Reads the GPT behind a protective MBR: the first copy, or the one at the end of the disk when the
// first fails its checksums. Sectors of 512 and 4096 bytes are tried.
Result<PartitionTable> ReadGpt(SyncDevice& device);

}  // namespace mica::guest
