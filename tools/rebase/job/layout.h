// SPDX-License-Identifier: Apache-2.0
// Which volume of the VM's disk is which of the new master's, and what becomes of each
// (volume_rule.h).
#pragma once

#include <vector>

#include "tools/guest/disk.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/kernel_volumes.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

// One volume that the VM's delta touches.
struct VolumePair {
  guest::VolumeId id;
  std::vector<ByteRange> base;     // in the VM's master and in the VM's disk
  std::vector<ByteRange> target;   // in the new master
  std::vector<ByteRange> touched;  // by the VM's delta; relative to the volume
  guest::VolumeKind kind = guest::VolumeKind::kExt;
};

struct DiskLayout {
  std::vector<VolumePair> volumes;  // to be merged file by file
  std::vector<VolumePair> carried;  // taken over as the VM has them
  std::vector<ReportEntry> entries;
};

// Volumes are matched by their GUID where both tables have one, else by number or name.
// kUnsupported when the VM changed its partition table or logical volumes, and for what RuleVolume
// refuses; the message names what was found. The VM then stays where it is.
Result<DiskLayout> MatchLayout(EventLoop& loop, RebaseImages& images, const KernelVolumes& kernel);

// All ext volumes that the two masters have both; nothing in them is touched. Needs no VM.
Result<std::vector<VolumePair>> MatchMasters(EventLoop& loop, RebaseImages& images);

}  // namespace mica::rebase
