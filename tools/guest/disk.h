// SPDX-License-Identifier: Apache-2.0
// What is on a guest disk: its partitions, or one file system without a partition table, and what
// each of them holds, so that messages can name it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/filters/pieces_device.h"
#include "tools/guest/partition_table.h"
#include "tools/guest/volume_id.h"

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
  kOutside,  // no volume: what lies between and around the partitions
};

// "an ext4 file system", "a swap area", "an encrypted (LUKS) volume".
std::string_view VolumeKindName(VolumeKind kind) noexcept;

struct DiskVolume {
  VolumeId id;
  std::vector<ByteRange> pieces;  // bytes of the disk, in the volume's order
  VolumeKind kind = VolumeKind::kUnknown;
  std::string note;     // why it is not looked into, where that needs words
  std::string label;    // of the file system, where it is an ext one
  Partition partition;  // of a volume that is one

  [[nodiscard]] uint64_t bytes() const noexcept { return BytesOf(pieces); }
};

struct Disk {
  PartitionScheme scheme = PartitionScheme::kNone;
  bool table_from_backup = false;
  std::vector<Partition> partitions;  // as the table has them
  // What they hold; in place of an LVM physical volume its logical volumes, where those are linear.
  std::vector<DiskVolume> volumes;
};

// Looks at the first bytes of a volume. Errors are the device's only.
Result<VolumeKind> ProbeVolume(SyncDevice& device);

// kCorrupt for a damaged partition table. A disk without one is one volume.
Result<Disk> ReadDisk(SyncDevice& device);

// Everything that is in no volume: boot code, copies of the partition table. As one volume of kind
// kOutside, so that it is decided about as a whole; empty for a disk that is one volume.
DiskVolume SpaceOutside(const Disk& disk, uint64_t disk_bytes);

// The volume that "IMAGE:2" or "IMAGE:vg0/root" means; without a name, the only ext one. kNotFound,
// naming what is there; kInvalidArgument when a name is needed because there are several.
Result<DiskVolume> PickVolume(const Disk& disk, const std::optional<VolumeId>& id);

// "1: a FAT file system (100.0 MiB); 2: an ext4 file system (1.9 GiB)"
std::string DescribeVolumes(const Disk& disk);

}  // namespace mica::guest
