// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/superblock.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace mica::guest {

namespace {

constexpr size_t kXfsBytes = 512;
constexpr size_t kXfsRealtimeBlocks = 16;
constexpr size_t kXfsUuid = 32;
constexpr size_t kXfsLogStart = 48;
constexpr size_t kXfsLabel = 108;
constexpr size_t kXfsLabelBytes = 12;

constexpr uint64_t kBtrfsOffset = 64 << 10;
constexpr size_t kBtrfsBytes = 4096;
constexpr size_t kBtrfsUuid = 0x20;
constexpr size_t kBtrfsDevices = 0x88;
constexpr size_t kBtrfsLabel = 0x12b;
constexpr size_t kBtrfsLabelBytes = 256;

uint64_t LoadBe64(ConstBytes from, size_t offset) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof value; ++i) {
    value = value << 8 | std::to_integer<uint64_t>(from[offset + i]);
  }
  return value;
}

MountedSuperblock Facts(ConstBytes block, size_t uuid, size_t label, size_t label_bytes) {
  MountedSuperblock facts;
  std::ranges::copy(block.subspan(uuid, facts.uuid.size()), facts.uuid.begin());
  const std::string_view text = AsText(block.subspan(label, label_bytes));
  facts.label = text.substr(0, text.find('\0'));
  return facts;
}

Result<MountedSuperblock> ReadXfs(SyncDevice& device) {
  std::vector<std::byte> block(kXfsBytes);
  TRY(device.Read(0, block));
  if (LoadBe64(block, kXfsLogStart) == 0) {
    return Error{Errc::kUnsupported,
                 "expected an XFS file system with its log inside, found one with an external "
                 "log, which lies on another device"};
  }
  if (LoadBe64(block, kXfsRealtimeBlocks) != 0) {
    return Error{Errc::kUnsupported,
                 "expected an XFS file system on one device, found one with a realtime device"};
  }
  return Facts(block, kXfsUuid, kXfsLabel, kXfsLabelBytes);
}

Result<MountedSuperblock> ReadBtrfs(SyncDevice& device) {
  std::vector<std::byte> block(kBtrfsBytes);
  TRY(device.Read(kBtrfsOffset, block));
  const auto devices = LoadLe<uint64_t>(block, kBtrfsDevices);
  if (devices != 1) {
    return Error{
        Errc::kUnsupported,
        fmt::format("expected a btrfs file system on one device, found one on {}", devices)};
  }
  return Facts(block, kBtrfsUuid, kBtrfsLabel, kBtrfsLabelBytes);
}

}  // namespace

std::string_view KernelNameOf(VolumeKind kind) noexcept {
  if (kind == VolumeKind::kXfs) return "xfs";
  return kind == VolumeKind::kBtrfs ? "btrfs" : "";
}

Result<MountedSuperblock> ReadMountedSuperblock(SyncDevice& device, VolumeKind kind) {
  if (kind == VolumeKind::kXfs) return ReadXfs(device);
  if (kind == VolumeKind::kBtrfs) return ReadBtrfs(device);
  return Error{Errc::kInvalidArgument,
               fmt::format("expected an XFS or btrfs file system, found {}", VolumeKindName(kind))};
}

}  // namespace mica::guest
