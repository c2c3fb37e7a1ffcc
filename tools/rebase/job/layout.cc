// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "tools/guest/fat/fat_tree.h"
#include "tools/guest/mounted/superblock.h"
#include "tools/guest/volume_device.h"
#include "tools/rebase/job/volume_bytes.h"
#include "tools/rebase/job/volume_rule.h"

namespace mica::rebase {

namespace {

using guest::Disk;
using guest::DiskVolume;
using guest::VolumeDevice;
using guest::VolumeKind;

Result<Disk> ReadLayout(EventLoop& loop, ImageChain& chain, const std::string& name) {
  guest::SyncDevice device(loop, chain);
  Result<Disk> disk = guest::ReadDisk(device);
  if (!disk) return std::move(disk).error().WithContext(name);
  disk->volumes.push_back(guest::SpaceOutside(*disk, device.size()));
  return disk;
}

bool SamePartition(const guest::Partition& a, const guest::Partition& b) {
  return a.number == b.number && a.range == b.range && a.type == b.type && a.mbr_type == b.mbr_type;
}

// What is outside follows from the others.
bool SameVolume(const DiskVolume& a, const DiskVolume& b) {
  return a.id == b.id && (a.pieces == b.pieces || a.kind == VolumeKind::kOutside);
}

bool SameTable(const Disk& a, const Disk& b) {
  return a.scheme == b.scheme && std::ranges::equal(a.partitions, b.partitions, SamePartition) &&
         std::ranges::equal(a.volumes, b.volumes, SameVolume);
}

const DiskVolume* FindIn(const Disk& target, const DiskVolume& volume) {
  const guest::Guid& unique = volume.partition.unique;
  const auto same_guid = [&](const DiskVolume& other) {
    return !unique.empty() && other.partition.unique == unique;
  };
  const auto same_id = [&](const DiskVolume& other) { return other.id == volume.id; };
  auto found = std::ranges::find_if(target.volumes, same_guid);
  if (found == target.volumes.end()) found = std::ranges::find_if(target.volumes, same_id);
  return found == target.volumes.end() ? nullptr : &*found;
}

Error CannotRebase(const RebaseImages& images, const std::string& what) {
  return {Errc::kUnsupported, fmt::format("{}: {}; the VM stays on its master, which stays usable",
                                          images.vm_path.string(), what)};
}

// Empty when one of them cannot be read: the block rule does not need it.
std::optional<std::vector<std::string>> FatChanges(guest::SyncDevice& before,
                                                   guest::SyncDevice& after) {
  const Result<guest::FatTree> old_tree = guest::ReadFatTree(before);
  const Result<guest::FatTree> new_tree = guest::ReadFatTree(after);
  if (!old_tree || !new_tree) return std::nullopt;
  return guest::CompareFatTrees(*old_tree, *new_tree);
}

// The volumes of one VM's disk, each held against the two masters.
class Matcher {
 public:
  Matcher(EventLoop& loop, RebaseImages& images, const KernelVolumes& kernel)
      : loop_(loop), images_(images), kernel_(kernel) {}

  Result<DiskLayout> Run() {
    ASSIGN(base_, ReadLayout(loop_, *images_.base, images_.vm_path.string() + " (its master)"));
    ASSIGN(ours_, ReadLayout(loop_, *images_.vm, images_.vm_path));
    ASSIGN(target_, ReadLayout(loop_, *images_.target, images_.target_path));
    if (!SameTable(base_, ours_)) {
      return CannotRebase(
          images_, fmt::format("the VM changed its partition table or its logical "
                               "volumes: expected {}, found {}",
                               guest::DescribeVolumes(base_), guest::DescribeVolumes(ours_)));
    }
    for (size_t i = 0; i < ours_.volumes.size(); ++i) TRY(Match(i));
    return std::move(layout_);
  }

 private:
  // ours_.volumes and base_.volumes have the same volumes in the same order.
  Result<void> Match(size_t index) {
    const DiskVolume& volume = ours_.volumes[index];
    const DiskVolume* const there = FindIn(target_, volume);
    VolumeSides sides;
    sides.name = volume.id.Name();
    sides.note = volume.note;
    sides.base = base_.volumes[index].kind;
    sides.ours = volume.kind;
    if (there != nullptr) sides.theirs = there->kind;
    const std::vector<ByteRange> touched = RangesWithin(images_.touched_by_vm, volume.pieces);
    {
      VolumeDevice base(loop_, *images_.base, base_.volumes[index].pieces);
      VolumeDevice ours(loop_, *images_.vm, volume.pieces);
      ASSIGN(sides.ours_changed, BytesDiffer(base.sync(), ours.sync(), touched));
      const bool fat = sides.base == VolumeKind::kFat && sides.ours == VolumeKind::kFat;
      sides.mountable = IsMountable(ours.sync(), sides);
      if (sides.ours_changed && fat) sides.our_files = FatChanges(base.sync(), ours.sync());
    }
    // What is merged file by file need not be compared.
    if (sides.ours_changed && !IsMergedByFile(sides)) {
      ASSIGN(sides.theirs_changed, TheirsChanged(index));
    }
    Result<VolumeRuling> ruling = RuleVolume(sides);
    if (!ruling) return CannotRebase(images_, ruling.error().message);
    Take(volume, there, touched, std::move(*ruling));
    return {};
  }

  // What the kernel cannot mount as it stands goes by the block rule.
  [[nodiscard]] bool IsMountable(guest::SyncDevice& ours, VolumeSides& sides) const {
    if (!kernel_.Has(sides.ours)) return false;
    const auto superblock = guest::ReadMountedSuperblock(ours, sides.ours);
    if (!superblock) sides.note = superblock.error().message;
    return superblock.has_value();
  }

  void Take(const DiskVolume& volume, const DiskVolume* there, std::vector<ByteRange> touched,
            VolumeRuling ruling) {
    if (ruling.entry) layout_.entries.push_back(std::move(*ruling.entry));
    if (ruling.fate == VolumeFate::kTheirs) return;
    const bool carried = ruling.fate == VolumeFate::kCarry;
    VolumePair pair{volume.id, volume.pieces, there->pieces, std::move(touched), volume.kind};
    // The VM's disk may be longer than both masters; the result is as long.
    if (volume.kind == VolumeKind::kOutside) pair.target = volume.pieces;
    (carried ? layout_.carried : layout_.volumes).push_back(std::move(pair));
  }

  // With a kind that can span partitions, a change of any of them counts.
  Result<bool> TheirsChanged(size_t index) {
    const VolumeKind kind = ours_.volumes[index].kind;
    if (!CanSpanPartitions(kind)) return MasterChanged(base_.volumes[index]);
    for (size_t i = 0; i < ours_.volumes.size(); ++i) {
      if (ours_.volumes[i].kind != kind) continue;
      ASSIGN(const bool changed, MasterChanged(base_.volumes[i]));
      if (changed) return true;
    }
    return false;
  }

  // Digests say where to look, bytes decide.
  Result<bool> MasterChanged(const DiskVolume& volume) {
    const DiskVolume* const there = FindIn(target_, volume);
    if (there == nullptr || there->bytes() != volume.bytes()) return true;
    if (volume.kind == VolumeKind::kOutside && !SameTable(base_, target_)) return true;
    std::vector<ByteRange> candidates;
    if (volume.pieces == there->pieces) {
      for (const ByteRange& piece : volume.pieces) {
        ASSIGN(const std::vector<ByteRange> differing,
               SyncWait(loop_, DifferingRanges(*images_.base, *images_.target, piece)));
        candidates.insert(candidates.end(), differing.begin(), differing.end());
      }
      candidates = RangesWithin(candidates, volume.pieces);
    } else {
      candidates.push_back({0, volume.bytes()});
    }
    VolumeDevice before(loop_, *images_.base, volume.pieces);
    VolumeDevice after(loop_, *images_.target, there->pieces);
    return BytesDiffer(before.sync(), after.sync(), candidates);
  }

  EventLoop& loop_;
  RebaseImages& images_;
  const KernelVolumes& kernel_;
  Disk base_;
  Disk ours_;
  Disk target_;
  DiskLayout layout_;
};

}  // namespace

Result<DiskLayout> MatchLayout(EventLoop& loop, RebaseImages& images, const KernelVolumes& kernel) {
  return Matcher(loop, images, kernel).Run();
}

Result<std::vector<VolumePair>> MatchMasters(EventLoop& loop, RebaseImages& images) {
  ASSIGN(const Disk base, ReadLayout(loop, *images.base, images.base->layer(0).info().path));
  ASSIGN(const Disk target, ReadLayout(loop, *images.target, images.target_path));
  std::vector<VolumePair> pairs;
  for (const DiskVolume& volume : base.volumes) {
    if (volume.kind != VolumeKind::kExt) continue;
    const DiskVolume* const there = FindIn(target, volume);
    if (there == nullptr || there->kind != VolumeKind::kExt) continue;
    pairs.push_back(VolumePair{volume.id, volume.pieces, there->pieces, {}});
  }
  return pairs;
}

}  // namespace mica::rebase
