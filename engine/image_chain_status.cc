// SPDX-License-Identifier: Apache-2.0
// Block status of ImageChain: the state of guest ranges, from the first layer that says something.
#include <algorithm>

#include "engine/image_chain.h"

namespace mica {

namespace {

// How much is mapped at a time: bounds memory on huge disks.
constexpr uint64_t kWindowBytes = uint64_t{64} << 20;

void Append(std::vector<StatusExtent>& out, const StatusExtent& next) {
  if (next.length == 0) return;
  if (!out.empty() && out.back().hole == next.hole && out.back().zero == next.zero &&
      out.back().depth == next.depth) {
    out.back().length += next.length;
  } else {
    out.push_back(next);
  }
}

}  // namespace

Async<std::vector<StatusExtent>> ImageChain::Status(ByteRange range, size_t extents_max) {
  CO_TRY(CheckRange(range, false));
  std::vector<StatusExtent> out;
  const uint64_t begin = AlignDown(range.offset, read_block_bytes_);
  const uint64_t end = std::min(AlignUp(range.end(), read_block_bytes_), info_.size);
  for (uint64_t at = begin; at < end && out.size() <= extents_max;) {
    const uint64_t next = std::min(end, AlignDown(at, kWindowBytes) + kWindowBytes);
    CO_TRY(co_await StatusFrom(0, RangeBetween(at, next), out));
    at = next;
  }
  // Cut back to what was asked.
  if (out.size() > extents_max) out.resize(extents_max);
  if (!out.empty()) out.front().length -= range.offset - begin;
  uint64_t excess = 0;
  for (const StatusExtent& extent : out) excess += extent.length;
  excess = excess > range.length ? excess - range.length : 0;
  if (!out.empty()) out.back().length -= excess;
  co_return out;
}

Async<void> ImageChain::StatusFrom(size_t depth, ByteRange range, std::vector<StatusExtent>& out) {
  const uint64_t layer_end = depth == layers_.size() ? 0 : layers_[depth]->info().virtual_size;
  const ByteRange inside = Intersect(range, ByteRange{0, layer_end});
  if (!inside.empty()) {
    CO_ASSIGN(const Mapping mapping, co_await layers_[depth]->Map(inside));
    for (const Extent& extent : mapping.extents) {
      if (extent.kind == ExtentKind::kUnallocated) {
        CO_TRY(co_await StatusFrom(depth + 1, extent.guest, out));
        continue;
      }
      const bool zero = extent.kind == ExtentKind::kZero;
      Append(out, StatusExtent{extent.guest.length, zero, zero, static_cast<uint32_t>(depth + 1)});
    }
  }
  Append(out, StatusExtent{range.length - inside.length, true, true, 0});
  co_return Result<void>();
}

}  // namespace mica
