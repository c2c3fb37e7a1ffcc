// SPDX-License-Identifier: Apache-2.0
// ParentStack: the immutable layers under one or many heads, and the index that says which of them
// answers for a block. A read asks one layer however deep the stack is; with a single layer there
// is no index. Heads of one process on the same parents share a stack (formats/parent_cache.h).
//
// Layers of different sizes: a layer shows no more of what is below it than its own size and its
// LayerInfo::parent_bytes. So a deeper, larger layer never shows through behind the end of a
// smaller one above it; zeroes do.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/block_device.h"
#include "engine/chain_index.h"
#include "engine/layer.h"
#include "engine/layer_reads.h"

namespace mica {

struct ParentStackOptions {
  std::unique_ptr<IndexStore> store;  // may be null
  size_t index_bytes_max = ChainIndex::kMemoryMaxDefault;
};

// Calls may overlap in time. Loop thread only.
class ParentStack final : private IndexSource {
 public:
  // layers[0] is the top parent; at least one. None of them changes while the stack lives.
  ParentStack(EventLoop& loop, std::vector<std::shared_ptr<Layer>> layers,
              ParentStackOptions options);
  ~ParentStack() override;

  [[nodiscard]] size_t depth() const noexcept { return layers_.size(); }
  [[nodiscard]] Layer& layer(size_t position) noexcept { return *layers_[position]; }
  [[nodiscard]] const std::vector<std::shared_ptr<Layer>>& layers() const noexcept {
    return layers_;
  }
  // What heads have read of each of them.
  [[nodiscard]] const std::vector<std::shared_ptr<LayerReads>>& reads() const noexcept {
    return reads_;
  }
  // Bytes of the top parent; reads and other ranges end there.
  [[nodiscard]] uint64_t size() const noexcept { return shown_.front(); }
  // The largest digest block of any layer, 1 when none has checksums.
  [[nodiscard]] uint32_t read_block_bytes() const noexcept { return read_block_bytes_; }

  // What a head without anything of its own shows. kOutOfRange never: past size() are zeroes.
  Async<void> Read(uint64_t offset, Bytes out);

  // Who answers for `range`, which ends at size() at most: an exact cover, in order; never kMixed.
  Async<std::vector<OwnerRun>> Owners(ByteRange range);

  // Builds, or loads, the index of everything.
  Async<void> BuildIndex();
  // Gives what was built of the index to its store. Best effort.
  Async<void> SaveIndex();
  [[nodiscard]] const ChainIndex* index() const noexcept { return index_.get(); }

 private:
  Async<IndexRegion> BuildRegion(uint32_t region) override;

  // The owners by asking the layers from `from` down, without the index. Gaps are kNobody's.
  Async<std::vector<OwnerRun>> Ask(size_t from, ByteRange range);
  Async<std::vector<ByteRange>> AskLayer(size_t position, const std::vector<ByteRange>& wanted,
                                         std::vector<OwnerRun>& found);
  // The owner of the whole range if it has one, and that is known without reading anything.
  std::optional<Owner> OwnerOfAll(ByteRange range);
  // Appends the cover of a range within one region.
  Async<void> OwnersInRegion(ByteRange range, std::vector<OwnerRun>& runs);

  Async<void> ReadRun(OwnerRun run, Bytes out);
  // The range as `position` has it. ReadBlocks: whole digest blocks of that layer.
  Async<void> ReadLayer(size_t position, uint64_t offset, Bytes out);
  Async<void> ReadBlocks(size_t position, uint64_t offset, Bytes out);
  Async<void> ReadExtent(size_t position, const Mapping& mapping, const Extent& extent, Bytes out);
  Async<void> ReadAsking(size_t from, uint64_t offset, Bytes out);

  EventLoop& loop_;
  const std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<std::shared_ptr<LayerReads>> reads_;
  std::vector<uint64_t> shown_;  // bytes of each layer that a head can see
  uint32_t read_block_bytes_ = 1;
  std::unique_ptr<ChainIndex> index_;  // null with a single layer
};

}  // namespace mica
