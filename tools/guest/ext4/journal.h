// SPDX-License-Identifier: Apache-2.0
// Replays the journal of an ext3 or ext4 file system that was not unmounted. libext2fs opens such a
// file system without complaint and shows the files as they were before the journal.
#pragma once

#include <cstdint>

#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

struct JournalReplay {
  uint64_t transactions = 0;
  uint64_t blocks_written = 0;
  uint64_t blocks_revoked = 0;  // skipped, because a later transaction freed them
};

// Writes the blocks of all complete transactions in place and marks journal and file system as
// recovered: give it an OverlayDevice to leave the disk as it is. Does nothing when the file system
// needs no recovery. kUnsupported: external journals, fast commits, asynchronous commits. kCorrupt:
// checksums, blocks outside the file system, a log that does not end. Orphaned inodes are left to
// e2fsck: they have no name.
Result<JournalReplay> ReplayJournal(SyncDevice& device);

}  // namespace mica::guest
