// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/snapshot_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/base/utf8.h"
#include "engine/snapshot_control.h"

namespace mica::native {

namespace {

constexpr uint32_t kTableMagic = 0x504e534d;  // "MSNP"
constexpr size_t kHeaderBytes = 32;
constexpr size_t kSlotNumberBytes = 4;
constexpr size_t kRecordHeaderBytes = 56;
constexpr size_t kSizeBytes = 16;
constexpr size_t kLostBytes = 8;
constexpr size_t kLostOffset = EpochHistory::kSizesMax * kSizeBytes;  // in an encoded history
constexpr uint64_t kRecordBytesMax =
    kRecordHeaderBytes + EpochHistory::kEncodedBytes + kSnapshotNameMax;
constexpr uint64_t kFixedBytesMax = kHeaderBytes + kSnapshotTableSlotsMax * kSlotNumberBytes;
static_assert(kFixedBytesMax <= kSlotBytes);
static_assert(kFixedBytesMax + kSnapshotsMax * kRecordBytesMax <=
              uint64_t{kSnapshotTableSlotsMax} * kSlotBytes);

Error Bad(std::string_view what) {
  return {Errc::kCorrupt, fmt::format("snapshot table: {}", what)};
}

size_t RecordsOffset(size_t slots) noexcept {
  return kHeaderBytes + (slots - 1) * kSlotNumberBytes;
}

size_t RecordBytes(const SnapshotRecord& record) noexcept {
  return kRecordHeaderBytes + record.history.sizes().size() * kSizeBytes +
         record.history.lost().size() * kLostBytes + record.name.size();
}

// Only what is used of both lists. Returns the bytes it takes.
size_t EncodeHistory(const EpochHistory& history, Bytes out) noexcept {
  std::array<std::byte, EpochHistory::kEncodedBytes> whole{};
  history.Encode(whole);
  const size_t sizes = history.sizes().size() * kSizeBytes;
  const size_t lost = history.lost().size() * kLostBytes;
  std::copy_n(whole.begin(), sizes, out.begin());
  std::copy_n(whole.begin() + kLostOffset, lost, out.subspan(sizes).begin());
  return sizes + lost;
}

// Takes as much of `in` as two lists of these lengths have.
Result<EpochHistory> DecodeHistory(ConstBytes& in, const SnapshotRecord& record, uint32_t counts) {
  const size_t sizes = (counts & 0xffff) * kSizeBytes;
  const size_t lost = (counts >> 16) * kLostBytes;
  if (sizes > kLostOffset || lost > EpochHistory::kEncodedBytes - kLostOffset ||
      sizes + lost > in.size()) {
    return Bad("a history is cut off");
  }
  std::array<std::byte, EpochHistory::kEncodedBytes> whole{};
  std::ranges::copy(in.first(sizes), whole.begin());
  std::ranges::copy(in.subspan(sizes, lost), whole.begin() + kLostOffset);
  in = in.subspan(sizes + lost);
  return EpochHistory::Decode(whole, record.epoch + 1);
}

// Returns the bytes it takes.
size_t EncodeRecord(const SnapshotRecord& record, Bytes out) noexcept {
  StoreLe<uint32_t>(out, 0, record.id);
  StoreLe<uint32_t>(out, 4, static_cast<uint32_t>(record.name.size()));
  StoreLe<uint64_t>(out, 8, record.created);
  StoreLe<uint64_t>(out, 16, record.virtual_size);
  StoreLe<uint64_t>(out, 24, record.parent_bytes);
  StoreLe<uint32_t>(out, 32, record.epoch);
  StoreLe<uint32_t>(out, 36, record.roots_slot);
  StoreLe<uint64_t>(out, 40, record.roots_hash);
  StoreLe<uint16_t>(out, 48, static_cast<uint16_t>(record.history.sizes().size()));
  StoreLe<uint16_t>(out, 50, static_cast<uint16_t>(record.history.lost().size()));
  const Bytes rest = out.subspan(kRecordHeaderBytes);
  const size_t history_bytes = EncodeHistory(record.history, rest);
  std::ranges::copy(AsBytes(record.name), rest.subspan(history_bytes).begin());
  return RecordBytes(record);
}

Result<void> CheckRecord(const SnapshotRecord& record, const SnapshotTable& table) {
  const uint32_t id_before = table.records.empty() ? 0 : table.records.back().id;
  const uint32_t epoch_before = table.records.empty() ? 0 : table.records.back().epoch;
  if (record.id <= id_before || record.id >= table.next_id || record.epoch <= epoch_before) {
    return Bad("records out of order");
  }
  if (record.virtual_size > kVirtualSizeMax || record.parent_bytes > record.virtual_size ||
      !IsPlace(record.roots_slot)) {
    return Bad("a record that contradicts itself");
  }
  if (!IsSnapshotName(record.name) || table.Find(record.name) != nullptr) {
    return Bad("an impossible name");
  }
  return {};
}

// Takes one record off the front of `in`.
Result<SnapshotRecord> DecodeRecord(ConstBytes& in) {
  if (in.size() < kRecordHeaderBytes) return Bad("a record is cut off");
  SnapshotRecord record;
  record.id = LoadLe<uint32_t>(in, 0);
  const uint32_t name_bytes = LoadLe<uint32_t>(in, 4);
  record.created = LoadLe<uint64_t>(in, 8);
  record.virtual_size = LoadLe<uint64_t>(in, 16);
  record.parent_bytes = LoadLe<uint64_t>(in, 24);
  record.epoch = LoadLe<uint32_t>(in, 32);
  record.roots_slot = LoadLe<uint32_t>(in, 36);
  record.roots_hash = LoadLe<uint64_t>(in, 40);
  const uint32_t counts = LoadLe<uint32_t>(in, 48);
  if (record.epoch == UINT32_MAX) return Bad("an impossible epoch");
  in = in.subspan(kRecordHeaderBytes);
  ASSIGN(record.history, DecodeHistory(in, record, counts));
  if (name_bytes > in.size()) return Bad("a name is cut off");
  record.name = AsText(in.first(name_bytes));
  in = in.subspan(name_bytes);
  return record;
}

}  // namespace

const SnapshotRecord* SnapshotTable::Find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(records, name, &SnapshotRecord::name);
  return found == records.end() ? nullptr : &*found;
}

bool IsSnapshotName(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kSnapshotNameMax && IsPrintable(name) &&
         name.find('/') == std::string_view::npos;
}

uint32_t SnapshotTableSlots(const SnapshotTable& table) noexcept {
  size_t record_bytes = 0;
  for (const SnapshotRecord& record : table.records) {
    record_bytes += RecordBytes(record);
  }
  uint32_t slots = 1;
  while (RecordsOffset(slots) + record_bytes > size_t{slots} * kSlotBytes) ++slots;
  return slots;
}

AlignedBuffer EncodeSnapshotTable(uint64_t tag, const SnapshotTable& table,
                                  std::span<const Slot> slots) {
  AlignedBuffer buffer(slots.size() * kSlotBytes);
  const Bytes out = buffer.span();
  FillZero(out);
  StoreLe<uint32_t>(out, 0, kTableMagic);
  StoreLe<uint32_t>(out, 4, static_cast<uint32_t>(table.records.size()));
  StoreLe<uint64_t>(out, 8, tag);
  StoreLe<uint32_t>(out, 16, static_cast<uint32_t>(slots.size()));
  StoreLe<uint32_t>(out, 20, table.next_id);
  for (size_t i = 1; i < slots.size(); ++i) {
    StoreLe<uint32_t>(out, kHeaderBytes + (i - 1) * kSlotNumberBytes, slots[i]);
  }
  Bytes rest = out.subspan(RecordsOffset(slots.size()));
  for (const SnapshotRecord& record : table.records) {
    rest = rest.subspan(EncodeRecord(record, rest));
  }
  return buffer;
}

Result<std::vector<Slot>> DecodeSnapshotSlots(ConstBytes block, Slot first, uint32_t slots) {
  if (block.size() < kSlotBytes || LoadLe<uint32_t>(block, 0) != kTableMagic) {
    return Bad("the magic is missing");
  }
  if (slots == 0 || slots > kSnapshotTableSlotsMax || LoadLe<uint32_t>(block, 16) != slots) {
    return Bad("an impossible length");
  }
  std::vector<Slot> all = {first};
  for (uint32_t i = 1; i < slots; ++i) {
    const Slot slot = LoadLe<uint32_t>(block, kHeaderBytes + (i - 1) * kSlotNumberBytes);
    if (!IsPlace(slot)) return Bad("an impossible slot");
    all.push_back(slot);
  }
  return all;
}

Result<SnapshotTable> DecodeSnapshotTable(ConstBytes bytes, uint64_t tag) {
  if (bytes.size() < kSlotBytes || LoadLe<uint32_t>(bytes, 0) != kTableMagic) {
    return Bad("the magic is missing");
  }
  if (LoadLe<uint64_t>(bytes, 8) != tag) return Bad("it belongs to another image");
  const uint32_t count = LoadLe<uint32_t>(bytes, 4);
  const size_t offset = RecordsOffset(bytes.size() / kSlotBytes);
  if (count > kSnapshotsMax || offset > bytes.size()) return Bad("an impossible length");
  SnapshotTable table;
  table.next_id = LoadLe<uint32_t>(bytes, 20);
  ConstBytes rest = bytes.subspan(offset);
  for (uint32_t i = 0; i < count; ++i) {
    ASSIGN(SnapshotRecord record, DecodeRecord(rest));
    TRY(CheckRecord(record, table));
    table.records.push_back(std::move(record));
  }
  return table;
}

}  // namespace mica::native
