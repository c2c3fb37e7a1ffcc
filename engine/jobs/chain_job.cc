// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/chain_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/base/aligned_buffer.h"
#include "engine/jobs/piece_queue.h"
#include "engine/jobs/read_piece.h"
#include "engine/window_digests.h"

namespace mica {

namespace {

void AppendRange(std::vector<ByteRange>& ranges, ByteRange next) {
  if (!ranges.empty() && ranges.back().end() == next.offset) {
    ranges.back().length += next.length;
  } else {
    ranges.push_back(next);
  }
}

// Calls `each` for every block of `ranges`, the last one cut at the end of its range.
template <class Each>
void ForEachBlock(const std::vector<ByteRange>& ranges, const Each& each) {
  for (const ByteRange& range : ranges) {
    for (uint64_t at = range.offset; at < range.end();) {
      const uint64_t next = AlignDown(at, kDigestBlockBytes) + kDigestBlockBytes;
      each(RangeBetween(at, std::min(next, range.end())));
      at = next;
    }
  }
}

ByteRange Hull(const std::vector<ByteRange>& ranges) {
  return RangeBetween(AlignDown(ranges.front().offset, kDigestBlockBytes), ranges.back().end());
}

// The blocks of `candidates` whose bytes are equal.
Async<std::vector<ByteRange>> CompareBytes(ImageChain& a, ImageChain& b,
                                           std::vector<ByteRange> candidates) {
  std::vector<ByteRange> equal;
  AlignedBuffer of_a(PieceQueue::kPieceBytesMax);
  AlignedBuffer of_b(PieceQueue::kPieceBytesMax);
  for (const ByteRange& range : candidates) {
    for (uint64_t at = range.offset; at < range.end();) {
      const uint64_t next = std::min(range.end(), at + PieceQueue::kPieceBytesMax);
      const Bytes a_bytes = of_a.span().first(next - at);
      const Bytes b_bytes = of_b.span().first(next - at);
      CO_TRY(co_await ReadPiece(&a, at, false, a_bytes));
      CO_TRY(co_await ReadPiece(&b, at, false, b_bytes));
      const std::vector<ByteRange> piece(1, RangeBetween(at, next));
      ForEachBlock(piece, [&](ByteRange block) {
        const uint64_t offset = block.offset - at;
        if (std::memcmp(&a_bytes[offset], &b_bytes[offset], block.length) != 0) return;
        AppendRange(equal, block);
      });
      at = next;
    }
  }
  co_return equal;
}

}  // namespace

Result<ParentControl*> ParentControlOf(ImageChain& chain) {
  Layer& head = chain.layer(0);
  if (ParentControl* const control = head.controls().parent; control != nullptr) return control;
  return Error{Errc::kUnsupported, fmt::format("{}: images of the format {} have no parent",
                                               head.info().path, head.info().format)};
}

Async<HeldRanges> RangesOfHead(ImageChain& chain, ByteRange window) {
  HeldRanges ranges;
  CO_ASSIGN(const std::vector<StatusExtent> extents,
            co_await chain.Status(window, kJobWindowBytes));
  uint64_t offset = window.offset;
  for (const StatusExtent& extent : extents) {
    AppendRange(extent.depth == 1 ? ranges.held : ranges.shown, ByteRange{offset, extent.length});
    offset += extent.length;
  }
  co_return ranges;
}

Async<std::vector<ByteRange>> EqualBlocks(ImageChain& a, ImageChain& b,
                                          std::vector<ByteRange> ranges) {
  std::vector<ByteRange> nominated;
  if (ranges.empty()) co_return nominated;
  const ByteRange window = Hull(ranges);
  WindowDigests of_a(a, window);
  WindowDigests of_b(b, window);
  for (const ByteRange& range : ranges) {
    CO_TRY(co_await of_a.Load(range));
    CO_TRY(co_await of_b.Load(range));
  }
  ForEachBlock(ranges, [&](ByteRange block) {
    const size_t index = (block.offset - window.offset) / kDigestBlockBytes;
    if (of_a[index] == of_b[index]) AppendRange(nominated, block);
  });
  co_return co_await CompareBytes(a, b, std::move(nominated));
}

std::vector<ByteRange> Subtract(const std::vector<ByteRange>& ranges,
                                const std::vector<ByteRange>& without) {
  std::vector<ByteRange> left;
  auto hole = without.begin();
  for (const ByteRange& range : ranges) {
    uint64_t at = range.offset;
    while (hole != without.end() && hole->end() <= at) ++hole;
    for (auto cut = hole; cut != without.end() && cut->offset < range.end(); ++cut) {
      if (cut->offset > at) left.push_back(RangeBetween(at, cut->offset));
      at = std::max(at, cut->end());
    }
    if (at < range.end()) left.push_back(RangeBetween(at, range.end()));
  }
  return left;
}

uint64_t TotalLength(const std::vector<ByteRange>& ranges) noexcept {
  return std::accumulate(ranges.begin(), ranges.end(), uint64_t{0},
                         [](uint64_t sum, const ByteRange& range) { return sum + range.length; });
}

}  // namespace mica
