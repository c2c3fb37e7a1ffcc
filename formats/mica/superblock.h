// SPDX-License-Identifier: Apache-2.0
// The superblock: FORMAT.md section 2. Pure codec and choice; reading and writing are in
// superblock_io.h.
#pragma once

#include <array>
#include <optional>

#include "engine/base/result.h"
#include "formats/mica/epoch_history.h"
#include "formats/mica/layout.h"
#include "formats/mica/parent_record.h"

namespace mica::native {

inline constexpr std::string_view kSuperblockMagic = "MICAIMG\x01";

// Where a root block lies; slot 0: nothing is mapped below it.
struct RootPointer {
  Slot slot = 0;
  uint32_t birth = 0;  // the epoch in which it was written
  uint64_t hash = 0;
  friend bool operator==(const RootPointer&, const RootPointer&) = default;
};
using RootPointers = std::array<RootPointer, kRootsMax>;

inline constexpr size_t kRootsBytes = kRootsMax * 16;
// `out` and `in` are kRootsBytes. Decoding takes any input and checks nothing.
void EncodeRoots(const RootPointers& roots, Bytes out) noexcept;
RootPointers DecodeRoots(ConstBytes in) noexcept;

// Where the snapshot table lies (snapshot_table.h); slot 0: there are no snapshots.
struct SnapshotTablePointer {
  Slot slot = 0;
  uint32_t slots = 0;      // in all; the first one names the others
  uint64_t hash = 0;       // of all of them
  uint32_t snapshots = 0;  // how many it holds
  friend bool operator==(const SnapshotTablePointer&, const SnapshotTablePointer&) = default;
};
inline constexpr uint32_t kSnapshotsMax = 1000;
inline constexpr uint32_t kSnapshotTableSlotsMax = 256;

struct Superblock {
  uint64_t sequence = 0;
  uint64_t incompat_features = 0;   // unknown bits: do not open
  uint64_t ro_compat_features = 0;  // unknown bits: open read-only
  uint64_t autoclear_features = 0;  // unknown bits: clear on the first write
  Uuid uuid{};
  uint64_t virtual_size = 0;
  bool clean = false;  // the log is empty and was so when the image was closed
  bool sealed = false;
  uint32_t epoch = 1;  // stamped on map entries, advances with every checkpoint
  SlotRun log;
  uint32_t log_slots_max = kLogSlotsMaxDefault;  // the log may grow to this
  // The oldest live log page: its number, its place in the ring, and the hash of the page before
  // it.
  uint64_t log_tail_sequence = 1;
  uint32_t log_tail_index = 0;
  uint64_t log_tail_previous_hash = 0;
  Slot high_water = 0;  // slots from here on were never used
  std::array<uint8_t, 16> seal_digest{};
  std::optional<ParentReference> parent;
  RootPointers roots{};

  SnapshotTablePointer snapshot_table;
  // Data and map parts born in this epoch or before may belong to a snapshot: when they are
  // replaced they are not free. 0 without snapshots.
  uint32_t kept_epoch = 0;
  // Where the map says nothing, the parent shows through only so far: a disk that was made smaller
  // and larger again reads zero beyond.
  uint64_t parent_bytes = 0;
  uint64_t quota_soft = 0;  // bytes of the host; 0: none
  uint64_t quota_hard = 0;
  EpochHistory history;

  [[nodiscard]] uint64_t BlockCount() const noexcept {
    return virtual_size / kSlotBytes + (virtual_size % kSlotBytes != 0 ? 1 : 0);
  }
  // First eight bytes of the UUID, which mark this image's log pages and regions.
  [[nodiscard]] uint64_t Tag() const noexcept;
};

// True when the block begins or ends like a superblock, valid or not.
bool LooksLikeSuperblock(ConstBytes block) noexcept;

// `block` is one slot. The parent's path and format fit (CheckParent).
void EncodeSuperblock(const Superblock& superblock, Bytes block) noexcept;

// Any input. kCorrupt when it is damaged or contradicts itself, kUnsupported for a version or an
// incompatible feature this build does not know.
Result<Superblock> DecodeSuperblock(ConstBytes block);

struct SuperblockChoice {
  Superblock superblock;
  uint32_t position = 0;  // the slot it was found in
};
// The newest valid one of the two. kCorrupt when there is none.
Result<SuperblockChoice> ChooseSuperblock(ConstBytes first, ConstBytes second);

}  // namespace mica::native
