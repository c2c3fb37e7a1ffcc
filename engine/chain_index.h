// SPDX-License-Identifier: Apache-2.0
// ChainIndex: who answers for each block below a head, so that a read asks one layer at any depth.
// Regions of one GiB are had when they are first touched: from a store (a file beside the top
// parent) or else from the layers' maps. A bounded number of bytes of them stays in memory. Loop
// thread only.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "engine/async/async_mutex.h"
#include "engine/index_region.h"

namespace mica {

// Where regions are made, from the layers.
class IndexSource {
 public:
  IndexSource() = default;
  IndexSource(const IndexSource&) = delete;
  IndexSource& operator=(const IndexSource&) = delete;
  virtual ~IndexSource() = default;

  virtual Async<IndexRegion> BuildRegion(uint32_t region) = 0;
};

// Where regions are kept from one process to the next. It is never trusted with more than time: a
// store that has nothing, or only damaged things, is as good as none.
class IndexStore {
 public:
  IndexStore() = default;
  IndexStore(const IndexStore&) = delete;
  IndexStore& operator=(const IndexStore&) = delete;
  virtual ~IndexStore() = default;

  // The region as it was saved; empty when there is none that is whole.
  virtual Async<std::optional<IndexRegion>> Load(uint32_t region) = 0;

  // Saves what was built since the last time, beside what is kept already. Best effort.
  virtual Async<void> Save(std::vector<std::pair<uint32_t, IndexRegion>> built) = 0;
};

class ChainIndex {
 public:
  static constexpr size_t kMemoryMaxDefault = size_t{64} << 20;

  // `source` outlives the index. `store` may be null.
  ChainIndex(EventLoop& loop, IndexSource& source, uint32_t region_count,
             std::unique_ptr<IndexStore> store, size_t memory_bytes_max);

  // The region if it is in memory, until the next suspension or change.
  [[nodiscard]] const IndexRegion* Lookup(uint32_t region) noexcept;
  // The same, getting it when it is not. Calls for one region at the same time get it once; an
  // error is given to the caller and not remembered.
  Async<const IndexRegion*> Find(uint32_t region);

  // Gives what was built to the store, if there is one. Best effort: an index that is not saved is
  // built again.
  Async<void> Save();

  [[nodiscard]] size_t memory_bytes() const noexcept { return memory_bytes_; }
  [[nodiscard]] uint64_t regions_built() const noexcept { return regions_built_; }

 private:
  struct Slot {
    std::optional<IndexRegion> region;
    bool used = false;  // since the hand last passed
    bool loading = false;
  };

  Async<void> Load(uint32_t region);
  void Keep(uint32_t region, IndexRegion built, bool saved);
  void Trim(uint32_t keep);

  IndexSource& source_;
  const std::unique_ptr<IndexStore> store_;
  const size_t memory_bytes_max_;
  const uint32_t region_count_;
  std::vector<Slot> slots_;  // one per region, made on the first touch
  std::set<uint32_t> unsaved_;
  size_t memory_bytes_ = 0;
  uint64_t regions_built_ = 0;
  uint32_t hand_ = 0;
  bool saving_ = false;
  WaitList loaded_;
};

}  // namespace mica
