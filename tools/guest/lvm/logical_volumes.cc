// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/lvm/logical_volumes.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/base/checked_math.h"
#include "tools/guest/lvm/physical_volume.h"
#include "tools/guest/lvm/volume_group.h"
#include "tools/guest/volume_device.h"

namespace mica::guest {

namespace {

constexpr uint64_t kTextBytesMax = uint64_t{32} << 20;  // of all copies on a disk

// A physical volume that is on this disk.
struct Present {
  ByteRange partition;
  std::string uuid;  // empty: its label is damaged
  bool in_group = false;
};

// Errors of the device go on; what the content is to blame for does not.
bool IsContent(const Error& error) {
  return error.code == Errc::kCorrupt;
}

class LvmReader {
 public:
  LvmReader(SyncDevice& disk, const std::vector<ByteRange>& partitions) : disk_(disk) {
    for (const ByteRange& partition : partitions) present_.push_back({partition, {}, false});
    found_.obstacles.resize(partitions.size());
  }

  Result<LvmDisk> Run() {
    for (size_t i = 0; i < present_.size(); ++i) TRY(ReadVolume(i));
    for (size_t i = 0; i < groups_.size(); ++i) PlaceGroup(i);
    for (size_t i = 0; i < present_.size(); ++i) {
      if (!present_[i].in_group && found_.obstacles[i].empty()) {
        found_.obstacles[i] = "no volume group in its metadata";
      }
    }
    return std::move(found_);
  }

 private:
  Result<void> ReadVolume(size_t index) {
    VolumeDevice volume(disk_.loop(), disk_.device(), {present_[index].partition});
    Result<PhysicalVolume> label = ReadPhysicalVolume(volume.sync());
    if (!label) return Blame(index, label.error());
    for (size_t other = 0; other < index; ++other) {
      if (present_[other].uuid != label->uuid) continue;
      present_[other].uuid.clear();
      found_.obstacles[other] = found_.obstacles[index] = "two physical volumes with one id";
      return {};
    }
    present_[index].uuid = label->uuid;
    for (const ByteRange& area : label->metadata_areas) {
      const Result<std::string> text = ReadMetadataText(volume.sync(), area);
      if (!text) {
        TRY(Blame(index, text.error()));
        continue;
      }
      if (text->empty()) continue;
      text_bytes_ += text->size();
      if (text_bytes_ > kTextBytesMax) {
        found_.obstacles[index] = fmt::format("more than {} bytes of LVM metadata", kTextBytesMax);
        return {};
      }
      Result<VolumeGroup> group = ParseVolumeGroup(*text);
      if (group) {
        Keep(std::move(*group));
      } else {
        TRY(Blame(index, group.error()));
      }
    }
    return {};
  }

  Result<void> Blame(size_t index, const Error& error) {
    if (!IsContent(error)) return error;
    found_.obstacles[index] = error.message;
    return {};
  }

  // Every copy of a group's metadata is found; the latest is valid.
  void Keep(VolumeGroup group) {
    const auto same = std::ranges::find(groups_, group.uuid, &VolumeGroup::uuid);
    if (same == groups_.end()) {
      groups_.push_back(std::move(group));
    } else if (group.version > same->version) {
      *same = std::move(group);
    }
  }

  void PlaceGroup(size_t number) {
    const VolumeGroup& group = groups_[number];
    std::vector<Present*> disks;
    std::string obstacle = group.obstacle;
    for (const VgDisk& disk : group.disks) {
      const auto here = std::ranges::find(present_, disk.uuid, &Present::uuid);
      if (here == present_.end()) {
        obstacle = fmt::format("its group {} has another part on another disk", group.name);
        disks.push_back(nullptr);
        continue;
      }
      if (here->in_group) obstacle = fmt::format("in two groups, one of them {}", group.name);
      here->in_group = true;
      disks.push_back(&*here);
    }
    const auto namesake = std::ranges::find(groups_, group.name, &VolumeGroup::name);
    if (&*namesake != &group) obstacle = fmt::format("two groups with the name {}", group.name);
    std::vector<LogicalVolume> volumes;
    if (obstacle.empty()) obstacle = PlaceVolumes(group, disks, volumes);
    for (Present* const disk : disks) {
      if (disk != nullptr) found_.obstacles[static_cast<size_t>(disk - present_.data())] = obstacle;
    }
    if (obstacle.empty()) std::ranges::move(volumes, std::back_inserter(found_.volumes));
  }

  // What is wrong with it, or empty.
  static std::string PlaceVolumes(const VolumeGroup& group, const std::vector<Present*>& disks,
                                  std::vector<LogicalVolume>& volumes) {
    std::vector<ByteRange> all;
    for (const VgVolume& volume : group.volumes) {
      LogicalVolume placed;
      placed.name = group.name + "/" + volume.name;
      for (const VgRun& run : volume.runs) {
        // Neither product wraps: the group has checked its disks' sizes.
        const uint64_t start = group.disks[run.disk].start_bytes + run.first * group.extent_bytes;
        const ByteRange inside{start, run.count * group.extent_bytes};
        const ByteRange& partition = disks[run.disk]->partition;
        if (!FitsInside(inside, partition.length)) {
          return fmt::format("{} has extents beyond its partition", placed.name);
        }
        placed.pieces.push_back({partition.offset + inside.offset, inside.length});
      }
      all.insert(all.end(), placed.pieces.begin(), placed.pieces.end());
      volumes.push_back(std::move(placed));
    }
    std::ranges::sort(all, {}, &ByteRange::offset);
    for (size_t i = 1; i < all.size(); ++i) {
      if (all[i - 1].Overlaps(all[i])) {
        return fmt::format("logical volumes of {} overlap", group.name);
      }
    }
    std::vector<std::string> names;
    for (const LogicalVolume& volume : volumes) names.push_back(volume.name);
    std::ranges::sort(names);
    const bool twice = std::ranges::adjacent_find(names) != names.end();
    return twice ? fmt::format("{} has two logical volumes of one name", group.name) : "";
  }

  SyncDevice& disk_;
  std::vector<Present> present_;
  std::vector<VolumeGroup> groups_;
  uint64_t text_bytes_ = 0;
  LvmDisk found_;
};

}  // namespace

Result<LvmDisk> ReadLogicalVolumes(SyncDevice& disk, const std::vector<ByteRange>& partitions) {
  return LvmReader(disk, partitions).Run();
}

}  // namespace mica::guest
