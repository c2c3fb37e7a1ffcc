// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/disk.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "tools/guest/ext4/superblock.h"
#include "tools/guest/lvm/logical_volumes.h"
#include "tools/guest/volume_device.h"

namespace mica::guest {

namespace {

constexpr size_t kProbeBytes = 72 << 10;

struct Magic {
  size_t offset;
  std::string_view bytes;
  VolumeKind kind;
};

using std::string_view_literals::operator""sv;

// In order: what wraps a file system stands before what may be left over inside it.
constexpr Magic kMagics[] = {
    {0, "LUKS\xba\xbe"sv, VolumeKind::kLuks},
    {3, "-FVE-FS-"sv, VolumeKind::kBitLocker},
    {4096, "\xfc\x4e\x2b\xa9"sv, VolumeKind::kRaid},
    {0, "\xfc\x4e\x2b\xa9"sv, VolumeKind::kRaid},
    {24, "LVM2 001"sv, VolumeKind::kLvm},
    {512 + 24, "LVM2 001"sv, VolumeKind::kLvm},
    {1024 + 24, "LVM2 001"sv, VolumeKind::kLvm},
    {1536 + 24, "LVM2 001"sv, VolumeKind::kLvm},
    {4096 - 10, "SWAPSPACE2"sv, VolumeKind::kSwap},
    {4096 - 10, "SWAP-SPACE"sv, VolumeKind::kSwap},
    {65536 - 10, "SWAPSPACE2"sv, VolumeKind::kSwap},
    {4096 - 10, "S1SUSPEND\0"sv, VolumeKind::kHibernation},
    {4096 - 10, "LINHIB0001"sv, VolumeKind::kHibernation},
    {0, "XFSB"sv, VolumeKind::kXfs},
    {0x10040, "_BHRfS_M"sv, VolumeKind::kBtrfs},
    {3, "NTFS    "sv, VolumeKind::kNtfs},
    {3, "EXFAT   "sv, VolumeKind::kExfat},
    {1080, "\x53\xef"sv, VolumeKind::kExt},
    {82, "FAT32   "sv, VolumeKind::kFat},
    {54, "FAT12   "sv, VolumeKind::kFat},
    {54, "FAT16   "sv, VolumeKind::kFat},
};

std::string SizeText(uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

// Fills in what the volume holds.
Result<void> LookInto(SyncDevice& disk, DiskVolume& volume) {
  VolumeDevice window(disk.loop(), disk.device(), volume.pieces);
  SyncDevice& device = window.sync();
  ASSIGN(volume.kind, ProbeVolume(device));
  if (volume.kind == VolumeKind::kExt) {
    // A damaged superblock is reported when somebody wants the volume, not when they list the disk.
    if (const auto superblock = Superblock::Read(device)) volume.label = superblock->label;
  }
  return {};
}

DiskVolume VolumeOf(const Partition& partition) {
  DiskVolume volume;
  volume.id.partition = partition.number;
  if (!partition.range.empty()) volume.pieces.push_back(partition.range);
  volume.partition = partition;
  return volume;
}

// Puts logical volumes in the place of the physical ones that hold them.
Result<void> AddLogicalVolumes(SyncDevice& device, std::vector<DiskVolume>& volumes) {
  const auto is_lvm = [](const DiskVolume& volume) { return volume.kind == VolumeKind::kLvm; };
  std::vector<ByteRange> physical;
  for (const DiskVolume& volume : volumes) {
    if (is_lvm(volume)) physical.push_back(volume.pieces.front());
  }
  if (physical.empty()) return {};
  ASSIGN(LvmDisk lvm, ReadLogicalVolumes(device, physical));
  auto obstacle = lvm.obstacles.begin();
  for (DiskVolume& volume : volumes) {
    if (is_lvm(volume)) volume.note = std::move(*obstacle++);
  }
  std::erase_if(volumes,
                [&](const DiskVolume& volume) { return is_lvm(volume) && volume.note.empty(); });
  for (LogicalVolume& logical : lvm.volumes) {
    DiskVolume volume;
    volume.id.logical = std::move(logical.name);
    volume.pieces = std::move(logical.pieces);
    TRY(LookInto(device, volume));
    volumes.push_back(std::move(volume));
  }
  return {};
}

}  // namespace

std::string_view VolumeKindName(VolumeKind kind) noexcept {
  switch (kind) {
    case VolumeKind::kUnknown:
      return "something unknown";
    case VolumeKind::kEmpty:
      return "nothing";
    case VolumeKind::kExt:
      return "an ext2/3/4 file system";
    case VolumeKind::kSwap:
      return "a swap area";
    case VolumeKind::kHibernation:
      return "a swap area with a hibernated system";
    case VolumeKind::kLuks:
      return "an encrypted volume (LUKS)";
    case VolumeKind::kBitLocker:
      return "an encrypted volume (BitLocker)";
    case VolumeKind::kLvm:
      return "an LVM physical volume";
    case VolumeKind::kRaid:
      return "a RAID member";
    case VolumeKind::kNtfs:
      return "an NTFS file system";
    case VolumeKind::kFat:
      return "a FAT file system";
    case VolumeKind::kExfat:
      return "an exFAT file system";
    case VolumeKind::kXfs:
      return "an XFS file system";
    case VolumeKind::kBtrfs:
      return "a btrfs file system";
    case VolumeKind::kOutside:
      return "boot code or copies of the partition table";
  }
  return "something unknown";
}

Result<VolumeKind> ProbeVolume(SyncDevice& device) {
  std::vector<std::byte> head(std::min<uint64_t>(kProbeBytes, device.size()));
  TRY(device.Read(0, head));
  const std::string_view text = AsText(head);
  for (const Magic& magic : kMagics) {
    if (magic.offset + magic.bytes.size() > text.size()) continue;
    if (text.substr(magic.offset, magic.bytes.size()) == magic.bytes) return magic.kind;
  }
  return IsZero(head) ? VolumeKind::kEmpty : VolumeKind::kUnknown;
}

Result<Disk> ReadDisk(SyncDevice& device) {
  ASSIGN(const PartitionTable table, ReadPartitionTable(device));
  Disk disk;
  disk.scheme = table.scheme;
  disk.table_from_backup = table.from_backup;
  disk.partitions = table.partitions;
  for (const Partition& partition : table.partitions) disk.volumes.push_back(VolumeOf(partition));
  if (table.scheme == PartitionScheme::kNone) {
    Partition whole;
    whole.range = {0, device.size()};
    disk.volumes.push_back(VolumeOf(whole));
  }
  for (DiskVolume& volume : disk.volumes) TRY(LookInto(device, volume));
  TRY(AddLogicalVolumes(device, disk.volumes));
  return disk;
}

DiskVolume SpaceOutside(const Disk& disk, uint64_t disk_bytes) {
  DiskVolume outside;
  outside.id.partition = VolumeId::kOutside;
  outside.kind = VolumeKind::kOutside;
  std::vector<ByteRange> used;
  for (const DiskVolume& volume : disk.volumes) {
    used.insert(used.end(), volume.pieces.begin(), volume.pieces.end());
  }
  std::ranges::sort(used, {}, &ByteRange::offset);
  used.push_back({disk_bytes, 0});
  uint64_t at = 0;
  for (const ByteRange& range : used) {
    const ByteRange gap = RangeBetween(at, range.offset);
    if (!gap.empty()) outside.pieces.push_back(gap);
    at = std::max(at, range.end());
  }
  return outside;
}

std::string DescribeVolumes(const Disk& disk) {
  if (disk.volumes.empty()) return "no partitions";
  std::string text;
  for (const DiskVolume& volume : disk.volumes) {
    if (volume.kind == VolumeKind::kOutside) continue;
    if (!text.empty()) text += "; ";
    if (!volume.id.logical.empty()) text += volume.id.logical + ": ";
    if (volume.id.partition != 0) text += fmt::format("{}: ", volume.id.partition);
    text += fmt::format("{} ({})", VolumeKindName(volume.kind), SizeText(volume.bytes()));
    if (!volume.note.empty()) text += fmt::format(" [{}]", volume.note);
  }
  return text;
}

Result<DiskVolume> PickVolume(const Disk& disk, const std::optional<VolumeId>& id) {
  if (id) {
    const auto found = std::ranges::find(disk.volumes, *id, &DiskVolume::id);
    if (found != disk.volumes.end()) return *found;
    return Error{Errc::kNotFound, fmt::format("no {} on the disk; there is {}", id->Name(),
                                              DescribeVolumes(disk))};
  }
  const auto is_ext = [](const DiskVolume& volume) { return volume.kind == VolumeKind::kExt; };
  const auto count = std::ranges::count_if(disk.volumes, is_ext);
  if (count == 1) return *std::ranges::find_if(disk.volumes, is_ext);
  if (count == 0) {
    return Error{Errc::kNotFound, fmt::format("no ext2/3/4 file system on the disk; there is {}",
                                              DescribeVolumes(disk))};
  }
  return Error{
      Errc::kInvalidArgument,
      fmt::format(
          "several ext2/3/4 file systems on the disk: name one as IMAGE:VOLUME; there is {}",
          DescribeVolumes(disk))};
}

}  // namespace mica::guest
