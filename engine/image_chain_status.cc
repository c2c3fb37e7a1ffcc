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

void AppendHole(std::vector<StatusExtent>& out, uint64_t length) {
  const StatusExtent hole{length, true, true, 0};
  Append(out, hole);
}

}  // namespace

Async<std::vector<StatusExtent>> ImageChain::Status(ByteRange range, size_t extents_max) {
  CO_TRY(CheckRange(range, false));
  std::vector<StatusExtent> out;
  const uint64_t begin = AlignDown(range.offset, read_block_bytes_);
  const uint64_t end = std::min(AlignUp(range.end(), read_block_bytes_), info_.size);
  for (uint64_t at = begin; at < end && out.size() <= extents_max;) {
    const uint64_t next = std::min(end, AlignDown(at, kWindowBytes) + kWindowBytes);
    CO_TRY(co_await StatusOfHead(RangeBetween(at, next), out));
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

Async<void> ImageChain::StatusOfHead(ByteRange range, std::vector<StatusExtent>& out) {
  CO_ASSIGN(const Mapping mapping, co_await head_->Map(range));
  for (const Extent& extent : mapping.extents) {
    if (extent.kind == ExtentKind::kUnallocated) {
      CO_TRY(co_await StatusBelow(extent.guest, out));
      continue;
    }
    const bool zero = extent.kind == ExtentKind::kZero;
    Append(out, StatusExtent{extent.guest.length, zero, zero, 1});
  }
  co_return Result<void>();
}

Async<void> ImageChain::StatusBelow(ByteRange range, std::vector<StatusExtent>& out) {
  const ByteRange inside = Intersect(range, ByteRange{0, ParentEnd()});
  if (!inside.empty()) {
    CO_ASSIGN(const std::vector<OwnerRun> runs, co_await parents_->Owners(inside));
    for (const OwnerRun& run : runs) {
      switch (run.owner.kind) {
        case Owner::Kind::kZero:
          Append(out, StatusExtent{run.guest.length, true, true, run.owner.layer + 2});
          break;
        case Owner::Kind::kLayer:
          CO_TRY(co_await StatusOfParent(run, out));
          break;
        default:
          AppendHole(out, run.guest.length);
      }
    }
  }
  AppendHole(out, range.length - inside.length);
  co_return Result<void>();
}

// The index does not say whether the last layer has anything, so its map does.
Async<void> ImageChain::StatusOfParent(const OwnerRun& run, std::vector<StatusExtent>& out) {
  const uint32_t depth = run.owner.layer + 2;
  if (depth < this->depth()) {
    Append(out, StatusExtent{run.guest.length, false, false, depth});
    co_return Result<void>();
  }
  Layer& layer = parents_->layer(run.owner.layer);
  const uint64_t block_bytes = std::max<uint32_t>(layer.info().digest_block_bytes, 1);
  const ByteRange blocks =
      Intersect(AlignOutward(run.guest, block_bytes), ByteRange{0, layer.info().virtual_size});
  CO_ASSIGN(const Mapping mapping, co_await layer.Map(blocks));
  for (const Extent& extent : mapping.extents) {
    const uint64_t length = Intersect(extent.guest, run.guest).length;
    const bool zero = extent.kind == ExtentKind::kZero;
    if (extent.kind == ExtentKind::kUnallocated) {
      AppendHole(out, length);
    } else {
      Append(out, StatusExtent{length, zero, zero, depth});
    }
  }
  co_return Result<void>();
}

}  // namespace mica
