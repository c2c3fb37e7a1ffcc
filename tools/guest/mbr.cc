// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mbr.h"

#include <fmt/format.h>

#include "engine/base/checked_math.h"

namespace mica::guest {

namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr size_t kTableOffset = 446;
constexpr size_t kEntryBytes = 16;
constexpr size_t kEntries = 4;
constexpr size_t kSignatureOffset = 510;
constexpr uint16_t kSignature = 0xaa55;
constexpr uint8_t kProtectiveType = 0xee;
constexpr uint32_t kLogicalMax = 128;  // more are a loop or an attack

struct Entry {
  uint8_t status = 0;
  uint8_t type = 0;
  ByteRange range;  // relative to whatever the entry is relative to
  [[nodiscard]] bool used() const noexcept { return type != 0 && range.length != 0; }
  [[nodiscard]] bool extended() const noexcept {
    return used() && (type == 0x05 || type == 0x0f || type == 0x85);
  }
};

Entry EntryAt(ConstBytes sector, size_t index) {
  const ConstBytes raw = sector.subspan(kTableOffset + index * kEntryBytes, kEntryBytes);
  Entry entry;
  entry.status = std::to_integer<uint8_t>(raw[0]);
  entry.type = std::to_integer<uint8_t>(raw[4]);
  entry.range = {LoadLe<uint32_t>(raw, 8) * kSectorBytes, LoadLe<uint32_t>(raw, 12) * kSectorBytes};
  return entry;
}

bool HasSignature(ConstBytes sector) {
  return LoadLe<uint16_t>(sector, kSignatureOffset) == kSignature;
}

// The boot sectors of FAT and NTFS carry the same signature; they name themselves.
bool IsBootSector(ConstBytes sector) {
  const auto at = [&](size_t offset, size_t length) {
    return AsText(sector.subspan(offset, length));
  };
  return at(54, 3) == "FAT" || at(82, 5) == "FAT32" || at(3, 8) == "NTFS    " ||
         at(3, 8) == "EXFAT   " || at(3, 8) == "-FVE-FS-";
}

class LogicalReader {
 public:
  LogicalReader(SyncDevice& device, ByteRange extended, PartitionTable& table)
      : device_(device), extended_(extended), table_(table) {}

  // Each extended boot record holds one partition, relative to itself, and a link, relative to the
  // first of them.
  Result<void> Run(uint32_t first_number) {
    uint64_t at = extended_.offset;
    for (uint32_t i = 0; i < kLogicalMax; ++i) {
      std::vector<std::byte> sector(kSectorBytes);
      TRY(device_.Read(at, sector));
      if (!HasSignature(sector)) return Corrupt("a record has no signature");
      const Entry partition = EntryAt(sector, 0);
      if (partition.used() && !partition.extended()) {
        Partition added;
        added.number = first_number + i;
        added.mbr_type = partition.type;
        added.range = {at + partition.range.offset, partition.range.length};
        if (added.range.offset < extended_.offset || added.range.end() > extended_.end()) {
          return Corrupt(fmt::format("partition {} leaves it", added.number));
        }
        table_.partitions.push_back(std::move(added));
      }
      const Entry link = EntryAt(sector, 1);
      if (!link.extended()) return {};
      at = extended_.offset + link.range.offset;
      if (!extended_.Contains(at)) return Corrupt("a link leaves it");
    }
    return Corrupt(fmt::format("more than {} partitions, or a loop", kLogicalMax));
  }

 private:
  [[nodiscard]] static Error Corrupt(std::string_view what) {
    return Error{Errc::kCorrupt, fmt::format("extended partition: {}", what)};
  }

  SyncDevice& device_;
  ByteRange extended_;
  PartitionTable& table_;
};

}  // namespace

MbrKind RecogniseMbr(ConstBytes sector, uint64_t disk_bytes) {
  if (!HasSignature(sector) || IsBootSector(sector)) return MbrKind::kNone;
  bool any = false;
  for (size_t i = 0; i < kEntries; ++i) {
    const Entry entry = EntryAt(sector, i);
    if (entry.type == kProtectiveType) return MbrKind::kProtective;
    // Boot code of something else: not a table.
    if ((entry.status & 0x7f) != 0) return MbrKind::kNone;
    any = any || (entry.used() && entry.range.offset != 0 && entry.range.offset < disk_bytes);
  }
  return any ? MbrKind::kTable : MbrKind::kNone;
}

Result<PartitionTable> ReadMbr(SyncDevice& device, ConstBytes sector) {
  PartitionTable table;
  table.scheme = PartitionScheme::kMbr;
  uint32_t next_logical = kEntries + 1;
  for (size_t i = 0; i < kEntries; ++i) {
    const Entry entry = EntryAt(sector, i);
    if (!entry.used()) continue;
    if (!FitsInside(entry.range, device.size())) {
      return Error{
          Errc::kCorrupt,
          fmt::format("partition {} ends at byte {}, beyond the disk's {}: the disk is cut off "
                      "or its partition table damaged",
                      i + 1, entry.range.end(), device.size())};
    }
    if (entry.extended()) {
      LogicalReader reader(device, entry.range, table);
      TRY(reader.Run(next_logical));
      if (!table.partitions.empty()) {
        next_logical = std::max(next_logical, table.partitions.back().number + 1);
      }
      continue;
    }
    Partition partition;
    partition.number = static_cast<uint32_t>(i + 1);
    partition.mbr_type = entry.type;
    partition.range = entry.range;
    table.partitions.push_back(std::move(partition));
  }
  return table;
}

}  // namespace mica::guest
