// SPDX-License-Identifier: Apache-2.0
#include "tools/image_map.h"

#include <algorithm>

namespace mica {

namespace {

// Holds the last entry back until it is known where it ends.
class Merger {
 public:
  explicit Merger(std::function<void(const MapEntry&)> visit) : visit_(std::move(visit)) {}

  void Add(const MapEntry& entry) {
    if (pending_ && Continues(*pending_, entry)) {
      pending_->guest.length += entry.guest.length;
      return;
    }
    Finish();
    pending_ = entry;
  }
  void Finish() {
    if (pending_) visit_(*pending_);
    pending_.reset();
  }

 private:
  static bool Continues(const MapEntry& before, const MapEntry& after) {
    if (before.depth != after.depth || before.present != after.present ||
        before.zero != after.zero || before.data != after.data ||
        before.compressed != after.compressed ||
        before.host_offset.has_value() != after.host_offset.has_value()) {
      return false;
    }
    return !before.host_offset || *before.host_offset + before.guest.length == *after.host_offset;
  }

  std::function<void(const MapEntry&)> visit_;
  std::optional<MapEntry> pending_;
};

// Where the stored bytes of `state.guest` lie in the file of their layer.
Async<void> AddStored(ImageChain& chain, MapEntry state, Merger& merger) {
  Layer& layer = chain.layer(state.depth);
  const uint64_t block = std::max(layer.info().digest_block_bytes, uint32_t{1});
  const ByteRange blocks =
      Intersect(AlignOutward(state.guest, block), ByteRange{0, layer.info().virtual_size});
  CO_ASSIGN(const Mapping mapping, co_await layer.Map(blocks));
  for (const Extent& extent : mapping.extents) {
    MapEntry entry = state;
    entry.guest = Intersect(extent.guest, state.guest);
    if (entry.guest.empty()) continue;
    if (extent.kind == ExtentKind::kData) {
      entry.host_offset = extent.host_offset + (entry.guest.offset - extent.guest.offset);
    }
    entry.compressed = extent.kind == ExtentKind::kCompressed;
    merger.Add(entry);
  }
  co_return Result<void>();
}

MapEntry StateOf(const StatusExtent& extent, uint64_t offset, size_t chain_depth) {
  MapEntry state;
  state.guest = ByteRange{offset, extent.length};
  state.present = extent.depth != 0;
  state.depth = extent.depth != 0 ? extent.depth - 1 : static_cast<uint32_t>(chain_depth) - 1;
  state.zero = extent.zero;
  state.data = state.present && !extent.hole && !extent.zero;
  return state;
}

}  // namespace

Async<void> MapImage(ImageChain& chain, std::function<void(const MapEntry&)> visit) {
  constexpr uint64_t kWindowBytes = uint64_t{1} << 30;
  constexpr size_t kExtentsMax = 4096;
  Merger merger(std::move(visit));
  const uint64_t size = chain.info().size;
  uint64_t offset = 0;
  while (offset < size) {
    const ByteRange window{offset, std::min(kWindowBytes, size - offset)};
    CO_ASSIGN(const std::vector<StatusExtent> extents, co_await chain.Status(window, kExtentsMax));
    for (const StatusExtent& extent : extents) {
      const MapEntry state = StateOf(extent, offset, chain.depth());
      offset += extent.length;
      if (state.data) {
        CO_TRY(co_await AddStored(chain, state, merger));
      } else {
        merger.Add(state);
      }
    }
  }
  merger.Finish();
  co_return Result<void>();
}

}  // namespace mica
