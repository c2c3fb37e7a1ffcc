// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/chain_difference.h"
#include "tools/guest/sync_device.h"

namespace mica::rebase {

namespace {

using guest::Disk;
using guest::DiskVolume;
using guest::SyncDevice;
using guest::VolumeKind;

constexpr uint64_t kCompareBytes = uint64_t{1} << 20;

// One of the three disks with its chain.
struct Side3 {
  Side3(EventLoop& loop, ImageChain& chain) : device(loop, chain) {}
  SyncDevice device;
  Disk disk;
};

Result<void> ReadLayout(Side3& side, const std::filesystem::path& path) {
  Result<Disk> disk = guest::ReadDisk(side.device);
  if (!disk) return std::move(disk).error().WithContext(path.string());
  side.disk = std::move(*disk);
  return {};
}

// Whether the two disks differ anywhere in `ranges` of `volume`.
Result<bool> ContentDiffers(SyncDevice& a, SyncDevice& b, ByteRange volume,
                            const std::vector<ByteRange>& ranges) {
  AlignedBuffer of_a(kCompareBytes);
  AlignedBuffer of_b(kCompareBytes);
  const uint64_t common = std::min(a.size(), b.size());
  for (const ByteRange& range : ranges) {
    for (uint64_t at = range.offset; at < range.end(); at += kCompareBytes) {
      const ByteRange piece{volume.offset + at, std::min(kCompareBytes, range.end() - at)};
      if (piece.end() > common) return true;
      TRY(a.Read(piece.offset, of_a.span().first(piece.length)));
      TRY(b.Read(piece.offset, of_b.span().first(piece.length)));
      if (!std::ranges::equal(of_a.span().first(piece.length), of_b.span().first(piece.length))) {
        return true;
      }
    }
  }
  return false;
}

bool SameTable(const Disk& a, const Disk& b) {
  return a.scheme == b.scheme &&
         std::ranges::equal(a.volumes, b.volumes, [](const DiskVolume& x, const DiskVolume& y) {
           return x.number == y.number && x.range == y.range &&
                  x.partition.type == y.partition.type &&
                  x.partition.mbr_type == y.partition.mbr_type;
         });
}

const DiskVolume* FindIn(const Disk& target, const DiskVolume& volume) {
  const guest::Guid& unique = volume.partition.unique;
  const auto same_guid = [&](const DiskVolume& other) {
    return !unique.empty() && other.partition.unique == unique;
  };
  const auto same_number = [&](const DiskVolume& other) { return other.number == volume.number; };
  auto found = std::ranges::find_if(target.volumes, same_guid);
  if (found == target.volumes.end()) found = std::ranges::find_if(target.volumes, same_number);
  return found == target.volumes.end() ? nullptr : &*found;
}

std::string NameOf(const DiskVolume& volume) {
  return volume.number == 0 ? std::string("the disk") : fmt::format("partition {}", volume.number);
}

ReportEntry DroppedEntry(const std::string& what, Severity severity, std::string detail) {
  ReportEntry entry;
  entry.path = what;
  entry.ours.content = true;
  entry.action = Action::kDropped;
  entry.severity = severity;
  entry.detail = std::move(detail);
  return entry;
}

Error CannotRebase(const RebaseImages& images, const std::string& what) {
  return {Errc::kUnsupported, fmt::format("{}: {}; the VM stays on its master, which stays usable",
                                          images.vm_path.string(), what)};
}

// A volume that is no ext file system and that the VM changed.
Result<void> HandleForeign(const RebaseImages& images, const DiskVolume& volume,
                           DiskLayout& layout) {
  switch (volume.kind) {
    case VolumeKind::kSwap:
      layout.entries.push_back(
          DroppedEntry(NameOf(volume), Severity::kNotice, "swap space; the new master's is used"));
      return {};
    case VolumeKind::kFat:
    case VolumeKind::kExfat:
      layout.entries.push_back(DroppedEntry(
          NameOf(volume), Severity::kWarn,
          "the VM changed files of a FAT file system (usually the boot partition); the "
          "new master's is used"));
      return {};
    case VolumeKind::kHibernation:
      return CannotRebase(images, NameOf(volume) +
                                      " holds a hibernated system: expected one that "
                                      "was shut down");
    default:
      break;
  }
  return CannotRebase(images,
                      fmt::format("the VM changed {}, which holds {}: expected ext2, ext3 or ext4",
                                  NameOf(volume), guest::VolumeKindName(volume.kind)));
}

// What the VM changed between and around the partitions: boot code and copies of the table.
Result<void> NoteGaps(RebaseImages& images, Side3& base, Side3& ours, DiskLayout& layout) {
  std::vector<ByteRange> gaps;
  uint64_t at = 0;
  std::vector<ByteRange> used;
  for (const DiskVolume& volume : ours.disk.volumes) used.push_back(volume.range);
  std::ranges::sort(used, {}, &ByteRange::offset);
  for (const ByteRange& range : used) {
    gaps.push_back(RangeBetween(at, range.offset));
    at = std::max(at, range.end());
  }
  gaps.push_back(RangeBetween(at, ours.device.size()));
  for (const ByteRange& gap : gaps) {
    const std::vector<ByteRange> touched = RangesWithin(images.touched_by_vm, gap);
    ASSIGN(const bool differs, ContentDiffers(base.device, ours.device, gap, touched));
    if (!differs) continue;
    layout.entries.push_back(DroppedEntry(
        fmt::format("bytes {} to {}", gap.offset, gap.end()), Severity::kNotice,
        "the VM changed space outside its partitions (boot code); the new master's is used"));
  }
  return {};
}

}  // namespace

Result<DiskLayout> MatchLayout(EventLoop& loop, RebaseImages& images) {
  Side3 base(loop, *images.base);
  Side3 ours(loop, *images.vm);
  Side3 target(loop, *images.target);
  TRY(ReadLayout(base, images.vm_path.string() + " (its master)"));
  TRY(ReadLayout(ours, images.vm_path));
  TRY(ReadLayout(target, images.target_path));
  if (!SameTable(base.disk, ours.disk)) {
    return CannotRebase(
        images, fmt::format("the VM changed its partition table: expected {}, found {}",
                            guest::DescribeVolumes(base.disk), guest::DescribeVolumes(ours.disk)));
  }
  DiskLayout layout;
  for (const DiskVolume& volume : ours.disk.volumes) {
    const std::vector<ByteRange> touched = RangesWithin(images.touched_by_vm, volume.range);
    ASSIGN(const bool differs, ContentDiffers(base.device, ours.device, volume.range, touched));
    if (!differs) continue;
    if (volume.kind != VolumeKind::kExt) {
      TRY(HandleForeign(images, volume, layout));
      continue;
    }
    const DiskVolume* const there = FindIn(target.disk, volume);
    if (there == nullptr || there->kind != VolumeKind::kExt) {
      return CannotRebase(
          images, fmt::format("the VM changed {}: expected its ext file system in {} too, found {}",
                              NameOf(volume), images.target_path.string(),
                              guest::DescribeVolumes(target.disk)));
    }
    layout.volumes.push_back(VolumePair{volume.number, volume.range, there->range, touched});
  }
  TRY(NoteGaps(images, base, ours, layout));
  return layout;
}

Result<std::vector<VolumePair>> MatchMasters(EventLoop& loop, RebaseImages& images) {
  Side3 base(loop, *images.base);
  Side3 target(loop, *images.target);
  TRY(ReadLayout(base, images.base->layer(0).info().path));
  TRY(ReadLayout(target, images.target_path));
  std::vector<VolumePair> pairs;
  for (const DiskVolume& volume : base.disk.volumes) {
    if (volume.kind != VolumeKind::kExt) continue;
    const DiskVolume* const there = FindIn(target.disk, volume);
    if (there == nullptr || there->kind != VolumeKind::kExt) continue;
    pairs.push_back(VolumePair{volume.number, volume.range, there->range, {}});
  }
  return pairs;
}

}  // namespace mica::rebase
