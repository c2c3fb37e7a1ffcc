// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/lvm/volume_group.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/checked_math.h"
#include "tools/guest/lvm/config_text.h"

namespace mica::guest {

namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr size_t kNameBytesMax = 127;
constexpr size_t kUuidBytes = 32;
constexpr size_t kRunsMax = 65'536;  // of a whole group
constexpr size_t kDisksMax = 1024;
constexpr uint64_t kBytesMax = uint64_t{1} << 62;

Error Corrupt(std::string_view what) {
  return {Errc::kCorrupt, fmt::format("LVM metadata: {}", what)};
}

// As lvm(8) has it. They become parts of the names of files.
bool IsName(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_.+-").find(c) != std::string_view::npos;
  };
  return !name.empty() && name.size() <= kNameBytesMax && name != "." && name != ".." &&
         name.front() != '-' && std::ranges::all_of(name, fits);
}

Result<VgDisk> ReadDisk(const ConfigNode& node) {
  VgDisk disk;
  disk.name = node.name;
  ASSIGN(disk.uuid, node.Text("id"));
  std::erase(disk.uuid, '-');
  if (disk.uuid.size() != kUuidBytes) return Corrupt(node.name + " has an impossible id");
  ASSIGN(const uint64_t sector, node.Number("pe_start"));
  ASSIGN(disk.extents, node.Number("pe_count"));
  const auto start = CheckedMultiply(sector, kSectorBytes);
  if (!start || *start > kBytesMax) return Corrupt(node.name + " starts beyond any disk");
  disk.start_bytes = *start;
  return disk;
}

class GroupReader {
 public:
  explicit GroupReader(const ConfigNode& node) : node_(node) { group_.name = node.name; }

  Result<VolumeGroup> Run() {
    if (!IsName(group_.name)) return Corrupt("a group with an impossible name");
    ASSIGN(group_.uuid, node_.Text("id"));
    ASSIGN(group_.version, node_.Number("seqno"));
    ASSIGN(const uint64_t sectors, node_.Number("extent_size"));
    if (sectors == 0 || sectors > kBytesMax / kSectorBytes) return Corrupt("impossible extents");
    group_.extent_bytes = sectors * kSectorBytes;
    TRY(ReadDisks());
    TRY(ReadVolumes());
    if (!group_.obstacle.empty()) group_.volumes.clear();
    return std::move(group_);
  }

 private:
  Result<void> ReadDisks() {
    const ConfigNode* const disks = node_.Find("physical_volumes");
    if (disks == nullptr) return Corrupt(group_.name + " has no physical volumes");
    if (disks->children.size() > kDisksMax) {
      return Corrupt(fmt::format("more than {} physical volumes", kDisksMax));
    }
    for (const ConfigNode& child : disks->children) {
      ASSIGN(VgDisk disk, ReadDisk(child));
      const auto bytes = CheckedMultiply(disk.extents, group_.extent_bytes);
      if (!bytes || *bytes > kBytesMax) return Corrupt(disk.name + " is larger than any disk");
      group_.disks.push_back(std::move(disk));
    }
    return {};
  }

  Result<void> ReadVolumes() {
    const ConfigNode* const volumes = node_.Find("logical_volumes");
    if (volumes == nullptr) return {};  // a group that is empty
    for (const ConfigNode& child : volumes->children) {
      if (!IsName(child.name)) return Corrupt("a logical volume with an impossible name");
      VgVolume volume;
      volume.name = child.name;
      TRY(ReadSegments(child, volume));
      if (!group_.obstacle.empty()) return {};
      group_.volumes.push_back(std::move(volume));
    }
    return {};
  }

  // LVM writes them in order.
  Result<void> ReadSegments(const ConfigNode& node, VgVolume& volume) {
    ASSIGN(const uint64_t expected, node.Number("segment_count"));
    uint64_t number = 0;
    uint64_t extents = 0;
    for (const ConfigNode& child : node.children) {
      if (child.children.empty() || !child.name.starts_with("segment")) continue;
      if (child.name != fmt::format("segment{}", number + 1)) break;
      ++number;
      TRY(ReadSegment(child, volume, extents));
      if (!group_.obstacle.empty()) return {};
    }
    if (number == expected && number > 0) return {};
    return Corrupt(
        fmt::format("{} has {} segments in order, not {}", volume.name, number, expected));
  }

  // `extents`: of the volume so far.
  Result<void> ReadSegment(const ConfigNode& segment, VgVolume& volume, uint64_t& extents) {
    ASSIGN(const std::string type, segment.Text("type"));
    if (type != "striped") return Obstacle(volume.name, type);
    ASSIGN(const uint64_t stripes, segment.Number("stripe_count"));
    if (stripes != 1) return Obstacle(volume.name, fmt::format("striped over {} disks", stripes));
    ASSIGN(const uint64_t start, segment.Number("start_extent"));
    VgRun run;
    ASSIGN(run.count, segment.Number("extent_count"));
    TRY(FindStripe(segment, run));
    const VgDisk& disk = group_.disks[run.disk];
    if (start != extents || run.count == 0 || run.first > disk.extents ||
        run.count > disk.extents - run.first) {
      return Corrupt(
          fmt::format("{} of {} has extents that are not there", segment.name, volume.name));
    }
    if (++runs_ > kRunsMax) return Corrupt(fmt::format("more than {} segments", kRunsMax));
    extents += run.count;
    volume.runs.push_back(run);
    return {};
  }

  // stripes = ["pv0", 17]
  Result<void> FindStripe(const ConfigNode& segment, VgRun& run) {
    const ConfigNode* const stripes = segment.Find("stripes");
    if (stripes == nullptr || stripes->values.size() != 2) {
      return Corrupt(segment.name + " does not say where it is");
    }
    const auto* const name = std::get_if<std::string>(&stripes->values[0]);
    const auto* const first = std::get_if<int64_t>(&stripes->values[1]);
    if (name == nullptr || first == nullptr || *first < 0) {
      return Corrupt(segment.name + " does not say where it is");
    }
    const auto disk = std::ranges::find(group_.disks, *name, &VgDisk::name);
    if (disk == group_.disks.end()) return Corrupt(segment.name + " is on an unknown disk");
    run.disk = static_cast<size_t>(disk - group_.disks.begin());
    run.first = static_cast<uint64_t>(*first);
    return {};
  }

  Result<void> Obstacle(std::string_view volume, std::string_view type) {
    group_.obstacle = fmt::format("{}/{} is {}; only linear logical volumes are looked into",
                                  group_.name, volume, type);
    return {};
  }

  const ConfigNode& node_;
  VolumeGroup group_;
  size_t runs_ = 0;
};

}  // namespace

Result<VolumeGroup> ParseVolumeGroup(std::string_view text) {
  ASSIGN(const ConfigNode root, ParseConfigText(text));
  const auto is_section = [](const ConfigNode& node) { return !node.children.empty(); };
  const auto group = std::ranges::find_if(root.children, is_section);
  if (group == root.children.end()) return Corrupt("no volume group in it");
  ASSIGN(const std::string format, group->Text("format"));
  if (format != "lvm2") return Corrupt("a volume group of another format");
  return GroupReader(*group).Run();
}

}  // namespace mica::guest
