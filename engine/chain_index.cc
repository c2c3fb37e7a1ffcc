// SPDX-License-Identifier: Apache-2.0
#include "engine/chain_index.h"

namespace mica {

ChainIndex::ChainIndex(EventLoop& loop, IndexSource& source, uint32_t region_count,
                       std::unique_ptr<IndexStore> store, size_t memory_bytes_max)
    : source_(source),
      store_(std::move(store)),
      memory_bytes_max_(memory_bytes_max),
      region_count_(region_count),
      loaded_(loop) {}

const IndexRegion* ChainIndex::Lookup(uint32_t region) noexcept {
  MICA_CHECK(region < region_count_);
  if (slots_.empty() || !slots_[region].region) return nullptr;
  slots_[region].used = true;
  return &*slots_[region].region;
}

Async<const IndexRegion*> ChainIndex::Find(uint32_t region) {
  while (true) {
    const IndexRegion* const found = Lookup(region);
    if (found != nullptr) co_return found;
    CO_TRY(co_await Load(region));
  }
}

Async<void> ChainIndex::Load(uint32_t region) {
  if (slots_.empty()) slots_.resize(region_count_);
  if (slots_[region].loading) {
    co_await loaded_.Wait();
    co_return Result<void>();
  }
  slots_[region].loading = true;
  std::optional<IndexRegion> stored;
  if (store_ != nullptr) {
    Result<std::optional<IndexRegion>> read = co_await store_->Load(region);
    if (read) stored = *std::move(read);
  }
  const bool saved = stored.has_value();
  Result<IndexRegion> built;
  if (saved) {
    built = *std::move(stored);
  } else {
    built = co_await source_.BuildRegion(region);
  }
  slots_[region].loading = false;
  loaded_.NotifyAll();
  CO_TRY(built);
  if (!saved) ++regions_built_;
  Keep(region, *std::move(built), saved);
  co_return Result<void>();
}

void ChainIndex::Keep(uint32_t region, IndexRegion built, bool saved) {
  built.ShrinkToFit();
  memory_bytes_ += built.MemoryBytes();
  Slot& slot = slots_[region];
  slot.region = std::move(built);
  slot.used = true;
  if (!saved && store_ != nullptr) unsaved_.insert(region);
  Trim(region);
}

// The second time the hand finds a region that nobody has used, it goes.
void ChainIndex::Trim(uint32_t keep) {
  for (uint32_t step = 0; step < 2 * region_count_ && memory_bytes_ > memory_bytes_max_; ++step) {
    hand_ = (hand_ + 1) % region_count_;
    Slot& slot = slots_[hand_];
    if (!slot.region || hand_ == keep) continue;
    if (std::exchange(slot.used, false)) continue;
    memory_bytes_ -= slot.region->MemoryBytes();
    slot.region.reset();
    unsaved_.erase(hand_);
  }
}

Async<void> ChainIndex::Save() {
  if (store_ == nullptr || unsaved_.empty() || saving_) co_return Result<void>();
  saving_ = true;
  std::vector<std::pair<uint32_t, IndexRegion>> built;
  for (const uint32_t region : unsaved_) built.emplace_back(region, *slots_[region].region);
  unsaved_.clear();
  Result<void> saved = co_await store_->Save(std::move(built));
  saving_ = false;
  co_return saved;
}

}  // namespace mica
