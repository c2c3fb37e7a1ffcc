// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/lvm/physical_volume.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>

#include "engine/base/checked_math.h"

namespace mica::guest {

namespace {

constexpr size_t kSectorBytes = 512;
constexpr size_t kLabelSectors = 4;
constexpr std::string_view kLabelMagic = "LABELONE";
constexpr std::string_view kLabelType = "LVM2 001";
constexpr size_t kCrcStart = 20;  // of a label: what its checksum covers begins here
constexpr size_t kUuidBytes = 32;
constexpr size_t kAreaBytes = 16;
constexpr size_t kAreasMax = 16;

constexpr std::string_view kAreaMagic = "\x20LVM2\x20x[5A%r0N*>";
constexpr size_t kAreaHeaderBytes = 512;
constexpr uint32_t kIgnored = 1;  // a flag of the place of a text
constexpr uint64_t kTextBytesMax = uint64_t{4} << 20;

Error Corrupt(std::string_view what) {
  return {Errc::kCorrupt, fmt::format("LVM physical volume: {}", what)};
}

// A list of offset and size that a pair of zeroes ends; `at` moves behind it.
Result<std::vector<ByteRange>> TakeAreas(ConstBytes label, size_t& at) {
  std::vector<ByteRange> areas;
  while (at + kAreaBytes <= label.size()) {
    const ByteRange area{LoadLe<uint64_t>(label, at), LoadLe<uint64_t>(label, at + 8)};
    at += kAreaBytes;
    if (area.offset == 0) return areas;
    if (areas.size() == kAreasMax) break;
    areas.push_back(area);
  }
  return Corrupt("its list of areas has no end");
}

Result<PhysicalVolume> ParseLabel(ConstBytes sector, uint64_t device_bytes) {
  const size_t header = LoadLe<uint32_t>(sector, 20);
  if (header < 32 || header > kSectorBytes - kUuidBytes - 8) return Corrupt("impossible header");
  PhysicalVolume volume;
  volume.uuid = AsText(sector.subspan(header, kUuidBytes));
  size_t at = header + kUuidBytes + 8;  // the size of the device stands between
  TRY(TakeAreas(sector, at));           // of data: the metadata says where each extent is
  ASSIGN(volume.metadata_areas, TakeAreas(sector, at));
  for (const ByteRange& area : volume.metadata_areas) {
    if (area.length < 2 * kAreaHeaderBytes || !FitsInside(area, device_bytes)) {
      return Corrupt(fmt::format("a metadata area of {} bytes at {} does not fit a volume of {}",
                                 area.length, area.offset, device_bytes));
    }
  }
  return volume;
}

}  // namespace

uint32_t LvmCrc(ConstBytes bytes) {
  constexpr uint32_t kStart = 0xf597a6cf;
  const auto* data = static_cast<const Bytef*>(static_cast<const void*>(bytes.data()));
  // zlib inverts before and after, LVM does not.
  return ~static_cast<uint32_t>(
      ::crc32(static_cast<uint32_t>(~kStart), data, static_cast<uInt>(bytes.size())));
}

Result<PhysicalVolume> ReadPhysicalVolume(SyncDevice& device) {
  std::vector<std::byte> head(std::min<uint64_t>(device.size(), kLabelSectors * kSectorBytes));
  TRY(device.Read(0, head));
  for (size_t start = 0; start + kSectorBytes <= head.size(); start += kSectorBytes) {
    const ConstBytes sector = ConstBytes(head).subspan(start, kSectorBytes);
    if (AsText(sector.first(8)) != kLabelMagic || AsText(sector.subspan(24, 8)) != kLabelType) {
      continue;
    }
    if (LoadLe<uint64_t>(sector, 8) != start / kSectorBytes) continue;  // a copy of another
    if (LvmCrc(sector.subspan(kCrcStart)) != LoadLe<uint32_t>(sector, 16)) {
      return Corrupt("wrong checksum of the label");
    }
    return ParseLabel(sector, device.size());
  }
  return Corrupt("no label in its first four sectors");
}

Result<std::string> ReadMetadataText(SyncDevice& device, ByteRange area) {
  std::array<std::byte, kAreaHeaderBytes> header;
  TRY(device.Read(area.offset, header));
  if (LvmCrc(ConstBytes(header).subspan(4)) != LoadLe<uint32_t>(header, 0)) {
    return Corrupt("wrong checksum of a metadata area's header");
  }
  if (AsText(ConstBytes(header).subspan(4, kAreaMagic.size())) != kAreaMagic ||
      LoadLe<uint32_t>(header, 20) != 1 || LoadLe<uint64_t>(header, 24) != area.offset ||
      LoadLe<uint64_t>(header, 32) != area.length) {
    return Corrupt("the header of a metadata area belongs elsewhere");
  }
  const ByteRange place{LoadLe<uint64_t>(header, 40), LoadLe<uint64_t>(header, 48)};
  const auto flags = LoadLe<uint32_t>(header, 60);
  if (place.offset == 0 || (flags & kIgnored) != 0) return std::string();
  const uint64_t ring = area.length - kAreaHeaderBytes;
  if (place.offset < kAreaHeaderBytes || place.offset >= area.length || place.length > ring ||
      place.length > kTextBytesMax) {
    return Corrupt(fmt::format("a text of {} bytes at {} does not fit a metadata area of {}",
                               place.length, place.offset, area.length));
  }
  // The text goes on at the start of the ring, behind the header.
  std::string text(place.length, '\0');
  const Bytes bytes = std::as_writable_bytes(std::span(text));
  const size_t first = std::min(place.length, area.length - place.offset);
  TRY(device.Read(area.offset + place.offset, bytes.first(first)));
  TRY(device.Read(area.offset + kAreaHeaderBytes, bytes.subspan(first)));
  if (LvmCrc(bytes) != LoadLe<uint32_t>(header, 56)) {
    return Corrupt("wrong checksum of the metadata text");
  }
  return text;
}

}  // namespace mica::guest
