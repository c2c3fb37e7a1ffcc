// SPDX-License-Identifier: Apache-2.0
// What is on a guest disk: its partitions, or one file system without a partition table, and what
// each of them holds, so that messages can name it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/guest/partition_table.h"

namespace mica::guest {

enum class VolumeKind : uint8_t {
  kUnknown,
  kEmpty,  // nothing but zeroes where anything would show
  kExt,    // ext2, ext3, ext4
  kSwap,
  kHibernation,  // swap that holds a suspended system
  kLuks,
  kBitLocker,
  kLvm,
  kRaid,
  kNtfs,
  kFat,
  kExfat,
  kXfs,
  kBtrfs,
};

// "an ext4 file system", "a swap area", "an encrypted (LUKS) volume".
std::string_view VolumeKindName(VolumeKind kind) noexcept;

struct DiskVolume {
  uint32_t number = 0;  // of the partition; 0: the whole disk is the volume
  ByteRange range;      // bytes of the disk
  VolumeKind kind = VolumeKind::kUnknown;
  std::string label;  // of the file system, where it is an ext one
  Partition partition;
};

struct Disk {
  PartitionScheme scheme = PartitionScheme::kNone;
  bool table_from_backup = false;
  std::vector<DiskVolume> volumes;
};

// Looks at the first bytes of a volume. Errors are the device's only.
Result<VolumeKind> ProbeVolume(SyncDevice& device);

// kCorrupt for a damaged partition table. A disk without one is one volume.
Result<Disk> ReadDisk(SyncDevice& device);

// The volume that "IMAGE:number" means; without a number, the only ext one. kNotFound, naming what
// is there; kInvalidArgument when a number is needed because there are several.
Result<DiskVolume> PickVolume(const Disk& disk, std::optional<uint32_t> number);

// "1: a FAT file system (100.0 MiB); 2: an ext4 file system (1.9 GiB)"
std::string DescribeVolumes(const Disk& disk);

}  // namespace mica::guest
