// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/mount_points.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/identity_text.h"
#include "tools/guest/disk.h"
#include "tools/guest/ext4/view.h"
#include "tools/guest/fstab.h"
#include "tools/guest/mounted/mounted_view.h"

namespace mica::rebase {

namespace {

using guest::DiskVolume;

constexpr uint64_t kFstabBytesMax = 64 << 10;

std::string PartUuidOf(const guest::Partition& partition) {
  return partition.unique.empty() ? std::string() : partition.unique.ToString();
}

// A volume of either kind, open.
class OpenedVolume {
 public:
  OpenedVolume(EventLoop& loop, BlockDevice& disk, const KernelVolumes& kernel)
      : loop_(loop), disk_(disk), kernel_(kernel) {}

  [[nodiscard]] bool CanOpen(const DiskVolume& volume) const {
    return volume.kind == guest::VolumeKind::kExt || kernel_.Has(volume.kind);
  }
  Result<void> Open(const DiskVolume& volume) {
    Uuid uuid;
    if (volume.kind == guest::VolumeKind::kExt) {
      ASSIGN(ext_, guest::Ext4View::Open(loop_, disk_, volume.pieces));
      std::ranges::copy(ext_->volume().fs()->super->s_uuid, uuid.begin());
      label_ = volume.label;
    } else {
      ASSIGN(mounted_,
             guest::MountedView::Open(*kernel_.mounter, {disk_, volume.pieces, volume.kind},
                                      guest::MountAccess::kReadOnly));
      const guest::MountedSuperblock& superblock = mounted_->superblock();
      std::ranges::transform(superblock.uuid, uuid.begin(),
                             [](std::byte byte) { return std::to_integer<uint8_t>(byte); });
      label_ = superblock.label;
    }
    uuid_ = UuidText(uuid);
    return {};
  }
  guest::Volume& files() {
    return ext_ ? static_cast<guest::Volume&>(ext_->volume()) : mounted_->volume();
  }
  [[nodiscard]] const std::string& uuid() const noexcept { return uuid_; }
  [[nodiscard]] const std::string& label() const noexcept { return label_; }

 private:
  EventLoop& loop_;
  BlockDevice& disk_;
  const KernelVolumes& kernel_;
  std::unique_ptr<guest::Ext4View> ext_;
  std::unique_ptr<guest::MountedView> mounted_;
  std::string uuid_;
  std::string label_;
};

Result<std::string> ReadFstab(guest::Volume& files) {
  ASSIGN(const auto inode, guest::LookupPath(files, "/etc/fstab"));
  if (!inode) return std::string();
  return guest::ReadWhole(files, *inode, kFstabBytesMax);
}

}  // namespace

bool MountTable::IsRoot(const std::vector<ByteRange>& pieces) const {
  const auto found = std::ranges::find(points_, pieces, &MountPoint::pieces);
  return found != points_.end() && found->path == "/";
}

bool MountTable::IsMounted(const std::vector<ByteRange>& pieces) const {
  return std::ranges::find(points_, pieces, &MountPoint::pieces) != points_.end();
}

std::string MountTable::PathOf(const std::vector<ByteRange>& pieces,
                               const guest::VolumeId& id) const {
  if (points_.empty() || IsRoot(pieces)) return "";
  const auto found = std::ranges::find(points_, pieces, &MountPoint::pieces);
  return found == points_.end() ? fmt::format("/[{}]", id.Name()) : found->path;
}

Result<MountTable> FindMountPoints(EventLoop& loop, BlockDevice& disk,
                                   const KernelVolumes& kernel) {
  guest::SyncDevice device(loop, disk);
  ASSIGN(const guest::Disk layout, guest::ReadDisk(device));
  // What the one volume of a disk is, is no question.
  const auto can_open = [&](const DiskVolume& volume) {
    return OpenedVolume(loop, disk, kernel).CanOpen(volume);
  };
  if (std::ranges::count_if(layout.volumes, can_open) < 2) {
    return MountTable();
  }
  std::vector<std::pair<guest::VolumeNames, const DiskVolume*>> others;
  std::vector<MountPoint> mounted;
  std::vector<guest::FstabEntry> entries;
  for (const DiskVolume& volume : layout.volumes) {
    OpenedVolume opened(loop, disk, kernel);
    if (!can_open(volume) || !opened.Open(volume)) continue;
    if (const Result<std::string> fstab = ReadFstab(opened.files()); fstab && mounted.empty()) {
      entries = guest::ParseFstab(*fstab);
      if (!entries.empty()) {
        mounted.push_back({volume.pieces, "/"});
        continue;
      }
    }
    others.emplace_back(guest::VolumeNames{volume.id, opened.uuid(), opened.label(),
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
