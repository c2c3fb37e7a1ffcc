// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/mount_points.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/identity_text.h"
#include "tools/guest/disk.h"
#include "tools/guest/ext4/view.h"
#include "tools/guest/fstab.h"

namespace mica::rebase {

namespace {

using guest::DiskVolume;

constexpr uint64_t kFstabBytesMax = 64 << 10;

std::string PartUuidOf(const guest::Partition& partition) {
  return partition.unique.empty() ? std::string() : partition.unique.ToString();
}

std::string UuidOf(guest::Ext4View& view) {
  Uuid uuid;
  std::ranges::copy(view.volume().fs()->super->s_uuid, uuid.begin());
  return UuidText(uuid);
}

Result<std::string> ReadFstab(guest::Ext4View& view) {
  ASSIGN(const auto inode, guest::LookupPath(view.volume(), "/etc/fstab"));
  if (!inode) return std::string();
  return guest::ReadWhole(view.volume(), *inode, kFstabBytesMax);
}

}  // namespace

bool MountTable::IsRoot(const std::vector<ByteRange>& pieces) const {
  const auto found = std::ranges::find(points_, pieces, &MountPoint::pieces);
  return found != points_.end() && found->path == "/";
}

std::string MountTable::PathOf(const std::vector<ByteRange>& pieces,
                               const guest::VolumeId& id) const {
  if (points_.empty() || IsRoot(pieces)) return "";
  const auto found = std::ranges::find(points_, pieces, &MountPoint::pieces);
  return found == points_.end() ? fmt::format("/[{}]", id.Name()) : found->path;
}

Result<MountTable> FindMountPoints(EventLoop& loop, BlockDevice& disk) {
  guest::SyncDevice device(loop, disk);
  ASSIGN(const guest::Disk layout, guest::ReadDisk(device));
  // What the one volume of a disk is, is no question.
  if (std::ranges::count(layout.volumes, guest::VolumeKind::kExt, &DiskVolume::kind) < 2) {
    return MountTable();
  }
  std::vector<std::pair<guest::VolumeNames, const DiskVolume*>> others;
  std::vector<MountPoint> mounted;
  std::vector<guest::FstabEntry> entries;
  for (const DiskVolume& volume : layout.volumes) {
    if (volume.kind != guest::VolumeKind::kExt) continue;
    const auto view = guest::Ext4View::Open(loop, disk, volume.pieces);
    if (!view) continue;
    if (const Result<std::string> fstab = ReadFstab(**view); fstab && mounted.empty()) {
      entries = guest::ParseFstab(*fstab);
      if (!entries.empty()) {
        mounted.push_back({volume.pieces, "/"});
        continue;
      }
    }
    others.emplace_back(guest::VolumeNames{volume.id, UuidOf(**view), volume.label,
                                           PartUuidOf(volume.partition), volume.partition.name},
                        &volume);
  }
  for (const auto& [names, volume] : others) {
    const auto entry = std::ranges::find_if(
        entries, [&](const guest::FstabEntry& line) { return guest::IsNamed(line, names); });
    if (entry != entries.end()) mounted.push_back({volume->pieces, entry->mount_point});
  }
  return MountTable(std::move(mounted));
}

}  // namespace mica::rebase
