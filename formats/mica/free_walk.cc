// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/free_walk.h"

#include <fmt/format.h>

#include <set>

#include "formats/mica/map_reader.h"
#include "formats/mica/snapshot_io.h"

namespace mica::native {

namespace {

constexpr uint32_t kLeavesPerTurn = 64;

class UseFinder {
 public:
  explicit UseFinder(Image& image) : image_(image), end_(image.slots.hidden_end()) {}

  // Snapshots come first: what they share with each other and with the head is then walked once.
  Async<SlotBitmap> Run() {
    SnapshotTablePointer seen;
    CO_TRY(co_await Snapshots(seen));
    CO_TRY(co_await Head());
    // What the head has given up since it was looked at may belong to a snapshot that is new.
    while (image_.snapshot_being_made || image_.superblock.snapshot_table != seen) {
      if (image_.snapshot_being_made) {
        co_await image_.snapshot_settled.Wait();
      } else {
        CO_TRY(co_await Snapshots(seen));
      }
    }
    // The last steps are one turn of the loop, so nothing is parked or moved in between.
    for (uint32_t i = 0; i < kRootsMax; ++i) Mark(SlotRun{image_.map.RootSlot(i), 1});
    Mark(image_.log.slots());
    image_.reclaimer.MarkParked(in_use_);
    for (const SlotRun& run : image_.moved) Mark(run);
    co_return std::move(in_use_);
  }

 private:
  void Mark(SlotRun run) {
    for (uint64_t slot = run.first; slot < run.end() && slot < end_; ++slot) {
      in_use_.Set(static_cast<Slot>(slot));
    }
  }

  void MarkLeaf(const Leaf& leaf) {
    leaf.ForEach([this](uint32_t, const LeafEntry& entry) {
      if (IsPlace(entry.slot)) Mark(SlotRun{entry.slot, 1});
    });
  }

  Async<void> Breathe() {
    if (++leaves_ % kLeavesPerTurn == 0) co_await image_.loop.Yield();
    co_return Result<void>();
  }

  // Whether the part of a map at `slot` has been walked. Slots above the end may be given to
  // another part meanwhile, so these are walked each time.
  [[nodiscard]] bool IsWalked(Slot slot) const noexcept {
    return slot < end_ && walked_.Test(slot);
  }
  [[nodiscard]] bool Enter(Slot slot) {
    if (IsWalked(slot)) return false;
    if (slot < end_) walked_.Set(slot);
    return true;
  }

  Async<void> Head() {
    using Kind = BlockMap::Found::Kind;
    BlockMap& map = image_.map;
    uint64_t last_region = UINT64_MAX;
    for (uint64_t block = 0; block < map.block_count();) {
      if (const Slot part = map.UnloadedPart(block); part != 0 && IsWalked(part)) {
        block = map.Lookup(block).end_block;
        continue;
      }
      CO_ASSIGN(const BlockMap::Found found, co_await map.Find(block));
      // The region may be replaced by a checkpoint while the walk is inside it. Its new slots are
      // above the end, and marking the old ones at any moment is enough: they are freed explicitly,
      // or belong to a snapshot.
      if (block / kBlocksPerRegion != last_region) {
        map.ForEachRegionRun(block, [this](SlotRun run) { Mark(run); });
      }
      last_region = block / kBlocksPerRegion;
      if (found.kind == Kind::kLeaf) MarkLeaf(*found.leaf);
      block = found.end_block;
      CO_TRY(co_await Breathe());
    }
    co_return Result<void>();
  }

  // All that are in the table now; `seen` becomes that table.
  Async<void> Snapshots(SnapshotTablePointer& seen) {
    seen = image_.superblock.snapshot_table;
    const Result<void> walked = co_await SnapshotsOfTable();
    // A snapshot that is deleted meanwhile may vanish under our feet.
    const bool gone = !walked && walked.error().code == Errc::kCorrupt &&
                      image_.superblock.snapshot_table != seen;
    if (!gone) co_return walked;
    seen = SnapshotTablePointer{};
    co_return Result<void>();
  }

  Async<void> SnapshotsOfTable() {
    CO_ASSIGN(const StoredSnapshotTable stored,
              co_await ReadSnapshotTable(*image_.file, image_.superblock));
    for (const Slot slot : stored.slots) Mark(SlotRun{slot, 1});
    for (const SnapshotRecord& record : stored.table.records) {
      if (done_.contains(record.id)) continue;
      Mark(SlotRun{record.roots_slot, 1});
      CO_ASSIGN(const RootPointers roots, co_await ReadSnapshotRoots(*image_.file, record));
      for (uint32_t i = 0; i < kRootsMax; ++i) {
        if (roots[i].slot != 0 && Enter(roots[i].slot)) CO_TRY(co_await WalkRoot(roots[i], i));
      }
      done_.insert(record.id);
    }
    co_return Result<void>();
  }

  Async<void> WalkRoot(RootPointer pointer, uint32_t index) {
    Mark(SlotRun{pointer.slot, 1});
    CO_ASSIGN(const RootBlock root, co_await ReadRootBlock(*image_.file, pointer, index));
    for (uint32_t i = 0; i < kRegionsPerRoot; ++i) {
      if (root[i].slot == 0 || !Enter(root[i].slot)) continue;
      CO_TRY(co_await WalkRegion(root[i], index * kRegionsPerRoot + i));
    }
    co_return Result<void>();
  }

  Async<void> WalkRegion(RegionPointer pointer, uint32_t index) {
    const uint64_t tag = image_.superblock.Tag();
    CO_ASSIGN(const StoredRegion region, co_await ReadRegion(*image_.file, pointer, tag, index));
    for (const SlotRun& run : region.runs) Mark(run);
    for (const RegionItem& item : region.content.items) {
      if (item.leaf != nullptr) {
        MarkLeaf(*item.leaf);
        continue;
      }
      if (!Enter(item.dense.first)) continue;
      Mark(SlotRun{item.dense.first, 1});
      Mark(SlotRun{item.dense.second, 1});
      const uint64_t number = uint64_t{index} * kLeavesPerRegion + item.leaf_index;
      CO_ASSIGN(const std::shared_ptr<Leaf> leaf,
                co_await ReadDenseLeaf(*image_.file, item.dense, number));
      MarkLeaf(*leaf);
      CO_TRY(co_await Breathe());
    }
    co_return co_await Breathe();
  }

  Image& image_;
  const Slot end_;
  SlotBitmap in_use_;
  SlotBitmap walked_;        // first slots of the parts of snapshots' maps
  std::set<uint32_t> done_;  // snapshots
  uint32_t leaves_ = 0;
};

}  // namespace

Async<SlotBitmap> FindSlotsInUse(Image& image) {
  UseFinder finder(image);
  co_return co_await finder.Run();
}

}  // namespace mica::native
