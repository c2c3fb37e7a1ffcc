// SPDX-License-Identifier: Apache-2.0
// BlockMap: the allocation map of one open image: roots, regions and leaves, loaded when they are
// first needed and verified against the hash their parent holds. Clean parts are dropped again when
// they take too much memory; changed ones stay until a checkpoint has written them (frozen_map.h).
// Loop thread only.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "engine/async/async_mutex.h"
#include "engine/cache_limit.h"
#include "formats/mica/frozen_map.h"
#include "formats/mica/reclaimer.h"
#include "formats/mica/region_codec.h"
#include "formats/mica/superblock.h"

namespace mica::native {

class BlockMap final : private CacheLimit::Cache {
 public:
  struct Found {
    enum class Kind : uint8_t { kLeaf, kAbsent, kMustLoad };
    Kind kind = Kind::kMustLoad;
    const Leaf* leaf = nullptr;  // kLeaf; until the next suspension or change
    uint64_t end_block = 0;      // what was found, or must be loaded, ends here
  };

  BlockMap(EventLoop& loop, BlockFile& file, Reclaimer& reclaimer, const Superblock& superblock);
  BlockMap(const BlockMap&) = delete;
  BlockMap& operator=(const BlockMap&) = delete;
  ~BlockMap() override;

  // What is known about `block` without reading.
  Found Lookup(uint64_t block);
  // The same, reading what is missing; never kMustLoad. kCorrupt names the damaged part.
  Async<Found> Find(uint64_t block);

  // Changes the leaf of `block`, which must be loaded or absent; makes it when it is absent.
  void Change(uint64_t block, const std::function<void(Leaf&)>& change);

  // While a region is pinned its loaded leaves stay in memory, and it counts as changed.
  void Pin(uint64_t block);
  void Unpin(uint64_t block);

  // Slots a checkpoint needs for everything changed so far…
  [[nodiscard]] uint64_t checkpoint_slots() const noexcept { return checkpoint_slots_; }
  // …and at most this many more after changing [first_block, end_block), whose regions are loaded.
  [[nodiscard]] uint64_t GrowthMax(uint64_t first_block, uint64_t end_block) const;

  // A checkpoint takes everything changed so far, to write it and then install or return it.
  // `epoch` is that of the newest changes. Parts born in `kept_epoch` or before are not `replaced`.
  FrozenMap Freeze(uint32_t epoch, uint32_t kept_epoch);
  void Install(const FrozenMap& frozen);
  void Return(const FrozenMap& frozen);

  // Calls `visit` for every metadata slot run of the region of `block`, if that region is loaded.
  void ForEachRegionRun(uint64_t block, const std::function<void(SlotRun)>& visit) const;
  // Whether the root block, region or leaf of `block`, as far as they are loaded, lie at `slot` or
  // above and are not going to be written by the next checkpoint anyway. Parts born in `kept_epoch`
  // or before do not count.
  [[nodiscard]] bool LiesAbove(uint64_t block, Slot slot, uint32_t kept_epoch) const;
  // Then: has it write them anew. The leaf is loaded; room was made as for a change.
  void Rewrite(uint64_t block);
  [[nodiscard]] Slot RootSlot(uint32_t root_index) const;
  [[nodiscard]] uint64_t block_count() const noexcept { return block_count_; }
  // The first slot of the part that Find(block) would read next; 0: none.
  [[nodiscard]] Slot UnloadedPart(uint64_t block) const;

  // The disk has more blocks, all absent.
  void Grow(uint64_t block_count);
  // Everything from `block_count` on becomes absent. Nothing else may go on, and nothing may have
  // changed since the last checkpoint. Where the dropped parts lie is left to the free walk.
  Async<void> Cut(uint64_t block_count);

  // For a repair: the part that holds the entry of `block`, and that Find could not load, is
  // forgotten. Its blocks are absent, and the next checkpoint says so.
  void Drop(uint64_t block);

  // Drops clean parts until about `bytes_max` are used.
  void Trim(size_t bytes_max);
  // From now on this map counts towards a limit shared with others.
  void ShareLimit(std::shared_ptr<CacheLimit> limit);

 private:
  struct Node;    // a leaf
  struct Region;  // 1 GiB
  struct Root;    // 256 GiB

  Region* FindRegion(uint64_t block) const;
  Region& MakeRegion(uint64_t block);
  Async<void> Load(uint64_t block);
  Async<void> LoadRoot(uint32_t root_index);
  Async<void> LoadRegion(Root& root, uint32_t region_index);
  Async<void> LoadLeaf(Region& region, uint32_t leaf_index);
  void Adopt(Region& region, std::vector<RegionItem> items);  // freshly read

  void MarkDirty(Region& region);
  void MarkRootDirty(uint32_t root_index);
  [[nodiscard]] uint64_t Cost(const Region& region) const noexcept;
  void FreezeRegion(Region& region, uint32_t kept_epoch, FrozenMap& frozen);
  void TrimTo(size_t bytes) noexcept override { Trim(bytes); }
  void KeepLimits();
  size_t DropClean(Root& root, uint32_t slot_in_root);
  void CutRegion(Region& region, uint64_t block_count);
  void CutRoot(uint64_t block_count);

  BlockFile& file_;
  Reclaimer& reclaimer_;
  const uint64_t tag_;
  uint64_t block_count_;
  std::vector<Root> roots_;
  std::set<uint32_t> dirty_regions_;
  std::set<uint32_t> dirty_roots_;
  uint64_t checkpoint_slots_ = 0;
  size_t memory_bytes_ = 0;
  std::shared_ptr<CacheLimit> limit_;  // may be null
  uint32_t trim_hand_ = 0;             // the region to look at next when trimming
  WaitList loaded_;
};

}  // namespace mica::native
