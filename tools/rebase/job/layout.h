// SPDX-License-Identifier: Apache-2.0
// Which volume of the VM's disk is which of the new master's, and what the VM changed outside of
// the volumes that can be rebased.
#pragma once

#include <vector>

#include "tools/guest/disk.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

// One ext volume that the VM's delta touches.
struct VolumePair {
  uint32_t number = 0;             // of the partition; 0: the whole disk
  ByteRange base;                  // in the VM's master and in the VM's disk
  ByteRange target;                // in the new master
  std::vector<ByteRange> touched;  // by the VM's delta; relative to the volume, sorted
};

struct DiskLayout {
  std::vector<VolumePair> volumes;
  // What the VM changed elsewhere and the result will not carry.
  std::vector<ReportEntry> entries;
};

// Volumes are matched by their GUID where both tables have one, else by number. kUnsupported when
// the VM changed its partition table, when the new master lacks a volume that the VM changed, or
// when that volume's kind cannot be rebased; the message names what was found. The VM then stays
// where it is.
Result<DiskLayout> MatchLayout(EventLoop& loop, RebaseImages& images);

// All ext volumes that the two masters have both; nothing in them is touched. Needs no VM.
Result<std::vector<VolumePair>> MatchMasters(EventLoop& loop, RebaseImages& images);

}  // namespace mica::rebase
