// SPDX-License-Identifier: Apache-2.0
// The snapshot table: FORMAT.md section 7. A snapshot is a set of root pointers that is kept, with
// what else the superblock said about the disk then. Pure codec; snapshot_io.h reads and writes.
#pragma once

#include <string>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/result.h"
#include "formats/mica/superblock.h"

namespace mica::native {

struct SnapshotRecord {
  uint32_t id = 0;
  std::string name;
  uint64_t created = 0;  // seconds since 1970
  uint64_t virtual_size = 0;
  uint64_t parent_bytes = 0;
  uint32_t epoch = 0;   // of the newest change in it
  Slot roots_slot = 0;  // its root pointers
  uint64_t roots_hash = 0;
  EpochHistory history;
  friend bool operator==(const SnapshotRecord&, const SnapshotRecord&) = default;
};

struct SnapshotTable {
  uint32_t next_id = 1;
  std::vector<SnapshotRecord> records;  // ids and epochs ascend

  // Null when there is none of this name.
  [[nodiscard]] const SnapshotRecord* Find(std::string_view name) const noexcept;
  friend bool operator==(const SnapshotTable&, const SnapshotTable&) = default;
};

// 1 to kSnapshotNameMax bytes of UTF-8 without control characters and '/'.
bool IsSnapshotName(std::string_view name) noexcept;

// Slots that the table takes.
uint32_t SnapshotTableSlots(const SnapshotTable& table) noexcept;

// The table as it lies in `slots`, SnapshotTableSlots of them, one after another.
AlignedBuffer EncodeSnapshotTable(uint64_t tag, const SnapshotTable& table,
                                  std::span<const Slot> slots);

// All slots of a table of `slots` slots, from its first one at `first`. The hash is not known yet:
// any input.
Result<std::vector<Slot>> DecodeSnapshotSlots(ConstBytes block, Slot first, uint32_t slots);

// The whole table, whose hash has been verified; still any input.
Result<SnapshotTable> DecodeSnapshotTable(ConstBytes bytes, uint64_t tag);

}  // namespace mica::native
