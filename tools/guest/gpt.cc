// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/gpt.h"

#include <fmt/format.h>
#include <zlib.h>

#include "engine/base/checked_math.h"
#include "tools/guest/utf16.h"

namespace mica::guest {

namespace {

constexpr std::string_view kSignature = "EFI PART";
constexpr size_t kHeaderBytes = 92;
constexpr size_t kHeaderCrcOffset = 16;
constexpr uint32_t kEntriesMax = 1024;
constexpr uint32_t kEntryBytesMin = 128;
constexpr uint32_t kEntryBytesMax = 4096;
constexpr size_t kNameOffset = 56;
constexpr size_t kNameBytes = 72;

uint32_t Crc32(ConstBytes bytes) {
  const auto* data = static_cast<const Bytef*>(static_cast<const void*>(bytes.data()));
  return static_cast<uint32_t>(::crc32(0, data, static_cast<uInt>(bytes.size())));
}

Guid GuidAt(ConstBytes raw, size_t offset) {
  Guid guid;
  std::memcpy(guid.bytes.data(), raw.data() + offset, guid.bytes.size());
  return guid;
}

class GptReader {
 public:
  GptReader(SyncDevice& device, uint64_t sector_bytes)
      : device_(device), sector_bytes_(sector_bytes) {}

  Result<PartitionTable> ReadAt(uint64_t header_sector) {
    std::vector<std::byte> header(sector_bytes_);
    TRY(device_.Read(header_sector * sector_bytes_, header));
    TRY(CheckHeader(header, header_sector));
    ASSIGN(const std::vector<std::byte> entries, ReadEntries(header));
    PartitionTable table;
    table.scheme = PartitionScheme::kGpt;
    const size_t entry_bytes = LoadLe<uint32_t>(header, 84);
    for (uint32_t i = 0; (i + 1) * entry_bytes <= entries.size(); ++i) {
      TRY(AddEntry(ConstBytes(entries).subspan(i * entry_bytes, entry_bytes), i + 1, table));
    }
    return table;
  }

 private:
  static Error Corrupt(std::string_view what) {
    return Error{Errc::kCorrupt, fmt::format("GUID partition table: {}", what)};
  }

  static Result<void> CheckHeader(ConstBytes sector, uint64_t header_sector) {
    if (AsText(sector.first(kSignature.size())) != kSignature) return Corrupt("no signature");
    const auto header_bytes = LoadLe<uint32_t>(sector, 12);
    if (header_bytes < kHeaderBytes || header_bytes > sector.size())
      return Corrupt("impossible header size");
    std::vector<std::byte> header(sector.begin(), sector.begin() + header_bytes);
    StoreLe(Bytes(header), kHeaderCrcOffset, uint32_t{0});
    if (Crc32(header) != LoadLe<uint32_t>(sector, kHeaderCrcOffset))
      return Corrupt("wrong header checksum");
    if (LoadLe<uint64_t>(sector, 24) != header_sector)
      return Corrupt("the header belongs elsewhere");
    return {};
  }

  Result<std::vector<std::byte>> ReadEntries(ConstBytes header) {
    const auto count = LoadLe<uint32_t>(header, 80);
    const auto entry_bytes = LoadLe<uint32_t>(header, 84);
    if (count > kEntriesMax || entry_bytes < kEntryBytesMin || entry_bytes > kEntryBytesMax ||
        entry_bytes % 8 != 0) {
      return Corrupt(fmt::format("{} entries of {} bytes", count, entry_bytes));
    }
    const auto offset = CheckedMultiply(LoadLe<uint64_t>(header, 72), sector_bytes_);
    if (!offset) return Corrupt("its entries lie beyond the disk");
    std::vector<std::byte> entries(size_t{count} * entry_bytes);
    TRY(device_.Read(*offset, entries));
    if (Crc32(entries) != LoadLe<uint32_t>(header, 88))
      return Corrupt("wrong checksum of the entries");
    return entries;
  }

  Result<void> AddEntry(ConstBytes raw, uint32_t number, PartitionTable& table) const {
    Partition partition;
    partition.number = number;
    partition.type = GuidAt(raw, 0);
    if (partition.type.empty()) return {};
    partition.unique = GuidAt(raw, 16);
    const auto first = LoadLe<uint64_t>(raw, 32);
    const auto last = LoadLe<uint64_t>(raw, 40);
    const uint64_t sectors = device_.size() / sector_bytes_;
    if (first == 0 || last < first || last >= sectors) {
      return Corrupt(fmt::format("partition {} spans sectors {} to {} of a disk of {}", number,
                                 first, last, sectors));
    }
    partition.range = {first * sector_bytes_, (last - first + 1) * sector_bytes_};
    partition.name = DecodeUtf16(raw.subspan(kNameOffset, kNameBytes));
    table.partitions.push_back(std::move(partition));
    return {};
  }

  SyncDevice& device_;
  uint64_t sector_bytes_;
};

}  // namespace

Result<PartitionTable> ReadGpt(SyncDevice& device) {
  std::string reasons;
  for (const uint64_t sector_bytes : {uint64_t{512}, uint64_t{4096}}) {
    if (device.size() < 3 * sector_bytes) continue;
    GptReader reader(device, sector_bytes);
    Result<PartitionTable> first = reader.ReadAt(1);
    if (first) return first;
    Result<PartitionTable> backup = reader.ReadAt(device.size() / sector_bytes - 1);
    if (backup) {
      backup->from_backup = true;
      return backup;
    }
    if (reasons.empty()) {
      reasons = fmt::format("first copy: {}; copy at the end: {}", first.error().message,
                            backup.error().message);
    }
  }
  return Error{Errc::kCorrupt,
               fmt::format("the disk says it has a GUID partition table, but neither copy is "
                           "usable ({})",
                           reasons)};
}

}  // namespace mica::guest
