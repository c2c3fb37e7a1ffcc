// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/free_walk.h"

namespace mica::native {

namespace {

constexpr uint32_t kLeavesPerTurn = 64;

void Mark(SlotBitmap& in_use, Slot end, SlotRun run) {
  for (uint64_t slot = run.first; slot < run.end() && slot < end; ++slot) {
    in_use.Set(static_cast<Slot>(slot));
  }
}

}  // namespace

Async<SlotBitmap> FindSlotsInUse(Image& image) {
  using Kind = BlockMap::Found::Kind;
  const Slot end = image.slots.hidden_end();
  SlotBitmap in_use;
  const auto mark = [&in_use, end](SlotRun run) { Mark(in_use, end, run); };
  uint32_t leaves = 0;
  uint64_t last_region = UINT64_MAX;
  for (uint64_t block = 0; block < image.map.block_count();) {
    CO_ASSIGN(const BlockMap::Found found, co_await image.map.Find(block));
    // The region may be replaced by a checkpoint while the walk is inside it. Its new slots are
    // above `end`, and marking the old ones at any moment is enough: they are freed explicitly.
    if (block / kBlocksPerRegion != last_region) image.map.ForEachRegionRun(block, mark);
    last_region = block / kBlocksPerRegion;
    if (found.kind == Kind::kLeaf) {
      found.leaf->ForEach([&mark](uint32_t, const LeafEntry& entry) {
        if (IsPlace(entry.slot)) mark(SlotRun{entry.slot, 1});
      });
    }
    block = found.end_block;
    if (++leaves % kLeavesPerTurn == 0) co_await image.loop.Yield();
  }
  // The last steps are one turn of the loop, so nothing is parked or moved in between.
  for (uint32_t i = 0; i < kRootsMax; ++i) mark(SlotRun{image.map.RootSlot(i), 1});
  mark(image.log.slots());
  image.reclaimer.MarkParked(in_use);
  co_return in_use;
}

}  // namespace mica::native
