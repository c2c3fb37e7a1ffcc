// SPDX-License-Identifier: Apache-2.0
// The snapshot table: what is encoded decodes to the same, and damage is refused.
#include "formats/mica/snapshot_table.h"

#include <gtest/gtest.h>

#include <functional>

#include "engine/base/prng.h"
#include "engine/snapshot_control.h"

namespace mica::native {
namespace {

SnapshotTable Sample(uint64_t seed, uint32_t count) {
  Prng prng(seed);
  SnapshotTable table;
  for (uint32_t i = 0; i < count; ++i) {
    SnapshotRecord record;
    record.id = table.next_id++;
    record.name = std::to_string(i) + std::string(prng.Below(kSnapshotNameMax - 4), 'x');
    record.created = prng.Next();
    record.virtual_size = (1 + prng.Below(1 << 20)) * kSlotBytes;
    record.parent_bytes = prng.Below(record.virtual_size);
    record.epoch = (i + 1) * 100;
    record.roots_slot = static_cast<Slot>(2 + prng.Below(1 << 20));
    record.roots_hash = prng.Next();
    for (uint32_t k = static_cast<uint32_t>(prng.Below(20)); k > 0; --k) {
      record.history.AddResize(record.epoch - k, prng.Below(1 << 30));
      record.history.AddRevert(record.epoch - k - 1, record.epoch - k);
    }
    table.records.push_back(std::move(record));
  }
  return table;
}

std::vector<Slot> SlotsFor(const SnapshotTable& table) {
  std::vector<Slot> slots;
  for (uint32_t i = 0; i < SnapshotTableSlots(table); ++i) slots.push_back(100 + 3 * i);
  return slots;
}

TEST(SnapshotTable, RoundTrips) {
  for (const uint32_t count : {1u, 2u, 7u, 100u, kSnapshotsMax}) {
    const SnapshotTable table = Sample(count, count);
    const std::vector<Slot> slots = SlotsFor(table);
    ASSERT_LE(slots.size(), kSnapshotTableSlotsMax);
    const AlignedBuffer bytes = EncodeSnapshotTable(7, table, slots);
    EXPECT_EQ(DecodeSnapshotSlots(bytes.span(), slots[0], SnapshotTableSlots(table)).value(),
              slots);
    EXPECT_EQ(DecodeSnapshotTable(bytes.span(), 7).value(), table);
    EXPECT_FALSE(DecodeSnapshotTable(bytes.span(), 8));
    EXPECT_EQ(table.Find(table.records.back().name), &table.records.back());
    EXPECT_EQ(table.Find("none"), nullptr);
  }
}

TEST(SnapshotTable, AnyDamageIsAnErrorOrAnotherTable) {
  const SnapshotTable table = Sample(3, 12);
  const std::vector<Slot> slots = SlotsFor(table);
  const AlignedBuffer whole = EncodeSnapshotTable(7, table, slots);
  Prng prng(1);
  for (int step = 0; step < 20'000; ++step) {
    std::vector<std::byte> bytes(whole.span().begin(), whole.span().end());
    for (uint64_t i = 1 + prng.Below(3); i > 0; --i) {
      bytes[prng.Below(bytes.size())] = static_cast<std::byte>(prng.Next());
    }
    const Result<SnapshotTable> decoded = DecodeSnapshotTable(bytes, 7);
    if (decoded) {
      EXPECT_LE(SnapshotTableSlots(*decoded), slots.size());
    }
    static_cast<void>(DecodeSnapshotSlots(bytes, 100, SnapshotTableSlots(table)));
  }
}

TEST(SnapshotTable, RecordsThatContradictEachOtherAreRefused) {
  const auto refused = [](const std::function<void(SnapshotTable&)>& spoil) {
    SnapshotTable table = Sample(5, 3);
    spoil(table);
    return !DecodeSnapshotTable(EncodeSnapshotTable(7, table, SlotsFor(table)).span(), 7);
  };
  EXPECT_FALSE(refused([](SnapshotTable&) {}));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[1].id = t.records[0].id; }));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[2].id = t.next_id; }));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[1].epoch = t.records[0].epoch; }));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[1].name = t.records[0].name; }));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[1].name = "a/b"; }));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[1].name = ""; }));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[1].roots_slot = 1; }));
  EXPECT_TRUE(refused([](SnapshotTable& t) { t.records[1].virtual_size = kVirtualSizeMax + 1; }));
  EXPECT_TRUE(
      refused([](SnapshotTable& t) { t.records[1].parent_bytes = t.records[1].virtual_size + 1; }));
}

}  // namespace
}  // namespace mica::native
