// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/fat/fat_layout.h"

#include <fmt/format.h>

#include <array>
#include <bit>

namespace mica::guest {

namespace {

constexpr uint64_t kTableBytesMax = uint64_t{32} << 20;
constexpr uint64_t kEntryBytes = 32;
constexpr uint32_t kFat12Max = 4085;  // clusters: fewer are FAT12
constexpr uint32_t kFat16Max = 65525;

Error Corrupt(std::string_view what) {
  return {Errc::kCorrupt, fmt::format("FAT file system: {}", what)};
}

}  // namespace

Result<FatLayout> FatLayout::Read(SyncDevice& device) {
  std::array<std::byte, 512> boot;
  TRY(device.Read(0, boot));
  const uint64_t sector_bytes = LoadLe<uint16_t>(boot, 11);
  const auto cluster_sectors = static_cast<uint8_t>(boot[13]);
  const uint64_t reserved = LoadLe<uint16_t>(boot, 14);
  const auto tables = static_cast<uint8_t>(boot[16]);
  if (sector_bytes < 512 || sector_bytes > 4096 || !std::has_single_bit(sector_bytes) ||
      !std::has_single_bit(cluster_sectors) || reserved == 0 || tables == 0) {
    return Corrupt("impossible boot sector");
  }
  const uint64_t root_sectors =
      DivideRoundUp(LoadLe<uint16_t>(boot, 17) * kEntryBytes, sector_bytes);
  uint64_t sectors = LoadLe<uint16_t>(boot, 19);
  if (sectors == 0) sectors = LoadLe<uint32_t>(boot, 32);
  const uint16_t short_table = LoadLe<uint16_t>(boot, 22);
  const uint64_t table_sectors = short_table != 0 ? short_table : LoadLe<uint32_t>(boot, 36);
  const uint64_t data_sector = reserved + tables * table_sectors + root_sectors;
  if (sectors * sector_bytes > device.size() || data_sector >= sectors) {
    return Corrupt(fmt::format("{} sectors do not fit {} bytes", sectors, device.size()));
  }
  FatLayout layout;
  layout.cluster_bytes_ = cluster_sectors * sector_bytes;
  layout.clusters_ = static_cast<uint32_t>((sectors - data_sector) / cluster_sectors);
  layout.data_ = data_sector * sector_bytes;
  layout.root_ = {layout.data_ - root_sectors * sector_bytes, root_sectors * sector_bytes};
  const bool small = layout.clusters_ < kFat16Max;
  layout.entry_bits_ = layout.clusters_ < kFat12Max ? 12 : small ? 16 : 32;
  if (!small) layout.root_cluster_ = LoadLe<uint32_t>(boot, 44);
  const uint64_t table_bytes = table_sectors * sector_bytes;
  if (table_bytes > kTableBytesMax) {
    return Error{Errc::kLimit, fmt::format("FAT file system: a table of {} bytes is more than {}",
                                           table_bytes, kTableBytesMax)};
  }
  const uint64_t entries = layout.clusters_ + uint64_t{kFirstCluster};
  if (table_bytes * 8 < entries * static_cast<uint64_t>(layout.entry_bits_)) {
    return Corrupt("its table is too small");
  }
  layout.table_.resize(table_bytes);
  TRY(device.Read(reserved * sector_bytes, layout.table_));
  return layout;
}

uint32_t FatLayout::Next(uint32_t cluster) const {
  if (entry_bits_ == 32) return LoadLe<uint32_t>(table_, size_t{4} * cluster) & 0x0fffffff;
  if (entry_bits_ == 16) return LoadLe<uint16_t>(table_, size_t{2} * cluster);
  const uint16_t pair = LoadLe<uint16_t>(table_, cluster + cluster / 2);
  return cluster % 2 == 0 ? pair & 0xfff : pair >> 4;
}

Result<std::vector<uint32_t>> FatLayout::Chain(uint32_t first, uint64_t clusters_max) const {
  const uint32_t end = entry_bits_ == 32 ? 0x0ffffff8 : entry_bits_ == 16 ? 0xfff8 : 0xff8;
  std::vector<uint32_t> chain;
  for (uint32_t at = first; at < end; at = Next(at)) {
    if (!IsCluster(at)) return Corrupt(fmt::format("a chain leads to cluster {}", at));
    if (chain.size() >= clusters_max) return Corrupt("a chain that does not end where it should");
    chain.push_back(at);
  }
  return chain;
}

}  // namespace mica::guest
