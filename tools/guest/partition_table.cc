// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/partition_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/gpt.h"
#include "tools/guest/mbr.h"

namespace mica::guest {

namespace {

constexpr size_t kSectorBytes = 512;

Result<void> CheckOverlap(const PartitionTable& table) {
  std::vector<Partition> sorted = table.partitions;
  std::ranges::sort(sorted, {}, [](const Partition& partition) { return partition.range.offset; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i - 1].range.Overlaps(sorted[i].range)) {
      return Error{Errc::kCorrupt, fmt::format("partition table: partitions {} and {} overlap",
                                               sorted[i - 1].number, sorted[i].number)};
    }
  }
  return {};
}

}  // namespace

std::string Guid::ToString() const {
  const ConstBytes raw(bytes);
  return fmt::format("{:08X}-{:04X}-{:04X}-{:04X}-{:04X}{:08X}", LoadLe<uint32_t>(raw, 0),
                     LoadLe<uint16_t>(raw, 4), LoadLe<uint16_t>(raw, 6), LoadBe<uint16_t>(raw, 8),
                     LoadBe<uint16_t>(raw, 10), LoadBe<uint32_t>(raw, 12));
}

bool Guid::empty() const noexcept {
  return IsZero(bytes);
}

Result<PartitionTable> ReadPartitionTable(SyncDevice& device) {
  PartitionTable table;
  if (device.size() < 2 * kSectorBytes) return table;
  std::vector<std::byte> sector(kSectorBytes);
  TRY(device.Read(0, sector));
  const MbrKind kind = RecogniseMbr(sector, device.size());
  if (kind == MbrKind::kProtective) {
    ASSIGN(table, ReadGpt(device));
  } else if (kind == MbrKind::kTable) {
    ASSIGN(table, ReadMbr(device, sector));
  }
  TRY(CheckOverlap(table));
  std::ranges::sort(table.partitions, {}, &Partition::number);
  return table;
}

}  // namespace mica::guest
