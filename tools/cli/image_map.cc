// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/image_map.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "engine/snapshot_control.h"

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

namespace {

Async<uint32_t> EpochOf(SnapshotControl& control, std::string path, std::string since) {
  CO_ASSIGN(const std::vector<SnapshotInfo> snapshots, co_await control.List());
  for (const SnapshotInfo& snapshot : snapshots) {
    if (snapshot.name == since) co_return snapshot.epoch;
  }
  uint32_t epoch = 0;
  const char* const end = since.data() + since.size();
  const auto parsed = std::from_chars(since.data(), end, epoch);
  if (parsed.ec == std::errc() && parsed.ptr == end) co_return epoch;
  co_return Error{Errc::kNotFound, fmt::format("{}: expected one of its snapshots or the number of "
                                               "an epoch, found '{}'; `mica info` shows both",
                                               path, since)};
}

// Splits a range by what reads zero.
Async<void> AddChange(ImageChain& chain, ByteRange range,
                      std::function<void(const ChangedPart&)>& visit) {
  constexpr size_t kExtentsMax = 4096;
  ChangedPart part;
  while (!range.empty()) {
    CO_ASSIGN(const std::vector<StatusExtent> extents, co_await chain.Status(range, kExtentsMax));
    for (const StatusExtent& extent : extents) {
      if (!part.guest.empty() && part.zero != extent.zero) {
        visit(part);
        part.guest = ByteRange{};
      }
      if (part.guest.empty()) part.guest.offset = range.offset;
      part.zero = extent.zero;
      part.guest.length += extent.length;
      range = RangeBetween(range.offset + extent.length, range.end());
    }
  }
  if (!part.guest.empty()) visit(part);
  co_return Result<void>();
}

}  // namespace

Async<void> MapChanges(ImageChain& chain, std::string since,
                       std::function<void(const ChangedPart&)> visit) {
  constexpr uint64_t kWindowBytes = uint64_t{1} << 30;
  SnapshotControl* const control = chain.layer(0).controls().snapshots;
  const std::string path = chain.layer(0).info().path;
  if (control == nullptr) {
    co_return Error{Errc::kUnsupported,
                    path + ": its format does not remember when its blocks were changed"};
  }
  CO_ASSIGN(const uint32_t epoch, co_await EpochOf(*control, path, since));
  for (uint64_t at = 0; at < chain.info().size; at += kWindowBytes) {
    const ByteRange window{at, std::min(kWindowBytes, chain.info().size - at)};
    CO_ASSIGN(const std::vector<ByteRange> changed, co_await control->ChangedSince(epoch, window));
    for (const ByteRange& range : changed) CO_TRY(co_await AddChange(chain, range, visit));
  }
  co_return Result<void>();
}

}  // namespace mica
