// SPDX-License-Identifier: Apache-2.0
// Reading what the snapshot table names. Everything is verified by the hash that names it; errors
// name no path.
#pragma once

#include "formats/mica/image.h"
#include "formats/mica/snapshot_table.h"

namespace mica::native {

struct StoredSnapshotTable {
  SnapshotTable table;
  std::vector<Slot> slots;  // that it lies in; empty when there is none
};

Async<StoredSnapshotTable> ReadSnapshotTable(BlockFile& file, const Superblock& superblock);

// kNotFound, with the names there are.
Error NoSuchSnapshot(const std::string& path, const std::string& name, const SnapshotTable& table);

// The root pointers of a snapshot.
Async<RootPointers> ReadSnapshotRoots(BlockFile& file, const SnapshotRecord& record);

// The superblock as it would be were the snapshot the disk: its map, size and history, clean.
Async<Superblock> SuperblockOfSnapshot(BlockFile& file, const Superblock& now,
                                       const SnapshotRecord& record);

}  // namespace mica::native
