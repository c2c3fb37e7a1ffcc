// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/mica_space_control.h"

#include <fmt/format.h>

#include "formats/mica/compactor.h"
#include "formats/mica/free_walk.h"

namespace mica::native {

namespace {
constexpr uint32_t kLeavesPerTurn = 64;
}  // namespace

Result<void> MicaSpaceControl::CheckWritable() const {
  if (writable_) return open_.image.CheckHealthy();
  return Error{Errc::kReadOnly,
               fmt::format("{}: expected an image that is open for writing, found one that is "
                           "read-only",
                           open_.image.path.string())};
}

uint64_t MicaSpaceControl::used_bytes() const noexcept {
  return UsedSlots(open_.image) * kSlotBytes;
}

Async<HeadSlots> CountHeadSlots(Image& image) {
  HeadSlots count;
  uint64_t last_region = UINT64_MAX;
  uint32_t leaves = 0;
  for (uint64_t block = 0; block < image.map.block_count();) {
    CO_ASSIGN(const BlockMap::Found found, co_await image.map.Find(block));
    if (block / kBlocksPerRegion != last_region) {
      image.map.ForEachRegionRun(block, [&](SlotRun run) { count.metadata += run.count; });
    }
    last_region = block / kBlocksPerRegion;
    if (found.kind == BlockMap::Found::Kind::kLeaf) {
      found.leaf->ForEach(
          [&](uint32_t, const LeafEntry& entry) { count.data += IsPlace(entry.slot) ? 1 : 0; });
    }
    block = found.end_block;
    if (++leaves % kLeavesPerTurn == 0) co_await image.loop.Yield();
  }
  for (uint32_t i = 0; i < kRootsMax; ++i) count.metadata += image.map.RootSlot(i) != 0 ? 1 : 0;
  co_return count;
}

Async<SpaceUsage> MicaSpaceControl::Usage() {
  Image& image = open_.image;
  uint64_t in_use = 0;
  if (writable_ && image.slots.hidden_end() > 0) CO_TRY(co_await open_.space.Walk());
  if (image.slots.hidden_end() == 0) {
    in_use = UsedSlots(image) - image.reclaimer.parked_slots();
  } else {
    CO_ASSIGN(const SlotBitmap bitmap, co_await FindSlotsInUse(image));
    in_use = kSlotFirst + bitmap.CountSet();
  }
  CO_ASSIGN(const HeadSlots head, co_await CountHeadSlots(image));
  const uint64_t fixed = kSlotFirst + image.log.slots().count;
  SpaceUsage usage;
  usage.own_bytes = head.data * kSlotBytes;
  usage.metadata_bytes = (head.metadata + fixed) * kSlotBytes;
  const uint64_t known = head.data + head.metadata + fixed;
  if (image.superblock.snapshot_table.slot != 0 && in_use > known) {
    usage.snapshot_bytes = (in_use - known) * kSlotBytes;
  }
  co_return usage;
}

Async<void> MicaSpaceControl::SetQuota(SpaceQuota quota) {
  CO_TRY(CheckWritable());
  Image& image = open_.image;
  if (quota.hard_bytes != 0 && quota.soft_bytes > quota.hard_bytes) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: expected a soft quota of at most the hard one's {} bytes, "
                                "found {}",
                                image.path.string(), quota.hard_bytes, quota.soft_bytes)};
  }
  const SpaceQuota before = image.quota;
  image.quota = quota;
  Result<void> written = co_await open_.committer.CheckpointNow();
  if (!written) {
    if (image.quota == quota) image.quota = before;
    co_return written;
  }
  image.events.Used(used_bytes(), quota);
  co_return Result<void>();
}

Async<CompactReport> MicaSpaceControl::Compact(
    std::function<void(const CompactProgress&)> on_progress) {
  CO_TRY(CheckWritable());
  Compactor compactor(open_, std::move(on_progress));
  co_return co_await compactor.Run();
}

}  // namespace mica::native
