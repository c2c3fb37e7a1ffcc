// SPDX-License-Identifier: Apache-2.0
// What becomes of one volume of the VM's disk, from what the three disks have there. Only ext file
// systems, and those that the kernel may mount, are merged file by file; others go by the block
// rule: what one side alone changed is taken whole, and two versions are never mixed. A pure
// function.
#pragma once

#include <optional>
#include <string>

#include "tools/guest/disk.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

struct VolumeSides {
  std::string name;  // of the volume, for people
  guest::VolumeKind base = guest::VolumeKind::kUnknown;
  guest::VolumeKind ours = guest::VolumeKind::kUnknown;
  std::optional<guest::VolumeKind> theirs;  // empty: the new master has no such volume
  // Whether blocks differ from the old master's. The patch has changed what it moved to a place of
  // another size, and what it removed.
  bool ours_changed = false;
  bool theirs_changed = false;
  // Whether the host's kernel may be asked to mount what the VM has there, and can.
  bool mountable = false;
  std::string note;  // why the kind is not looked into, where that needs words
  // Of a FAT file system: what the VM did to its files ("added /x"); empty when nobody can tell.
  std::optional<std::vector<std::string>> our_files;
};

enum class VolumeFate : uint8_t {
  kTheirs,  // the new master's, as it is
  kMerge,   // file by file
  kCarry,   // the VM's blocks, all of them
};

struct VolumeRuling {
  VolumeFate fate = VolumeFate::kTheirs;
  std::optional<ReportEntry> entry;
};

// kUnsupported, saying what was found, where the VM has to stay on its master.
Result<VolumeRuling> RuleVolume(const VolumeSides& sides);

// Whether all three have one file system of a kind whose files can be merged.
bool IsMergedByFile(const VolumeSides& sides) noexcept;

// Whether a file system of this kind can lie in several partitions, so that they are decided about
// together.
bool CanSpanPartitions(guest::VolumeKind kind) noexcept;

}  // namespace mica::rebase
