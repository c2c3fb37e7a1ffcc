// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/snapshot_io.h"

#include <fmt/format.h>

namespace mica::native {

namespace {

Error Damaged(std::string_view what, Slot slot) {
  return {Errc::kCorrupt,
          fmt::format("{} at slot {} (file offset {}) is damaged: the content does not match its "
                      "checksum",
                      what, slot, SlotOffset(slot))};
}

}  // namespace

Async<StoredSnapshotTable> ReadSnapshotTable(BlockFile& file, const Superblock& superblock) {
  StoredSnapshotTable stored;
  const SnapshotTablePointer& pointer = superblock.snapshot_table;
  if (pointer.slot == 0) co_return stored;
  AlignedBuffer bytes(size_t{pointer.slots} * kSlotBytes);
  const Bytes first = bytes.span().first(kSlotBytes);
  CO_TRY(co_await file.Read(SlotOffset(pointer.slot), first));
  CO_ASSIGN(stored.slots, DecodeSnapshotSlots(first, pointer.slot, pointer.slots));
  for (size_t i = 1; i < stored.slots.size(); ++i) {
    const Bytes block = bytes.span().subspan(i * kSlotBytes, kSlotBytes);
    CO_TRY(co_await file.Read(SlotOffset(stored.slots[i]), block));
  }
  if (HashOf(bytes.span()) != pointer.hash) {
    co_return Damaged("the snapshot table", pointer.slot);
  }
  CO_ASSIGN(stored.table, DecodeSnapshotTable(bytes.span(), superblock.Tag()));
  const std::vector<SnapshotRecord>& records = stored.table.records;
  if (records.size() != pointer.snapshots || records.back().epoch != superblock.kept_epoch) {
    co_return Error{Errc::kCorrupt, "the snapshot table is not the one the superblock describes"};
  }
  co_return stored;
}

Error NoSuchSnapshot(const std::string& path, const std::string& name, const SnapshotTable& table) {
  constexpr size_t kNamesMax = 8;
  std::string names;
  for (size_t i = 0; i < table.records.size() && i < kNamesMax; ++i) {
    names += fmt::format("{}'{}'", i == 0 ? "" : ", ", table.records[i].name);
  }
  if (table.records.size() > kNamesMax) names += ", …";
  return {Errc::kNotFound, fmt::format("{}: expected a snapshot '{}', found {}", path, name,
                                       names.empty() ? "none at all" : names)};
}

Async<RootPointers> ReadSnapshotRoots(BlockFile& file, const SnapshotRecord& record) {
  AlignedBuffer block(kSlotBytes);
  CO_TRY(co_await file.Read(SlotOffset(record.roots_slot), block.span()));
  if (HashOf(block.span()) != record.roots_hash) {
    const std::string what = fmt::format("the map of snapshot '{}'", record.name);
    co_return Damaged(what, record.roots_slot);
  }
  const RootPointers roots = DecodeRoots(block.span());
  for (const RootPointer& root : roots) {
    if (root.slot == 0 || IsPlace(root.slot)) continue;
    co_return Error{Errc::kCorrupt, fmt::format("the map of snapshot '{}': a root block at slot {}",
                                                record.name, root.slot)};
  }
  co_return roots;
}

Async<Superblock> SuperblockOfSnapshot(BlockFile& file, const Superblock& now,
                                       const SnapshotRecord& record) {
  Superblock view = now;
  CO_ASSIGN(view.roots, co_await ReadSnapshotRoots(file, record));
  for (const RootPointer& root : view.roots) {
    if (root.slot < now.high_water) continue;
    co_return Error{
        Errc::kCorrupt,
        fmt::format("the map of snapshot '{}' points beyond the end of the file", record.name)};
  }
  view.virtual_size = record.virtual_size;
  view.parent_bytes = record.parent_bytes;
  view.epoch = record.epoch + 1;
  view.history = record.history;
  view.clean = true;
  co_return view;
}

}  // namespace mica::native
