// SPDX-License-Identifier: Apache-2.0
#include "engine/chain_difference.h"

#include <algorithm>

#include "engine/window_digests.h"

namespace mica {

namespace {

// How much is mapped at a time: bounds memory on huge disks.
constexpr uint64_t kWindowBytes = uint64_t{64} << 20;

void AppendRange(std::vector<ByteRange>& ranges, ByteRange next) {
  if (next.empty()) return;
  if (!ranges.empty() && ranges.back().end() == next.offset) {
    ranges.back().length += next.length;
  } else {
    ranges.push_back(next);
  }
}

}  // namespace

Async<std::vector<ByteRange>> RangesAbove(ImageChain& chain, size_t depth) {
  std::vector<ByteRange> ranges;
  const uint64_t size = chain.info().size;
  for (uint64_t at = 0; at < size;) {
    const uint64_t next = std::min(size, at + kWindowBytes);
    CO_ASSIGN(const std::vector<StatusExtent> extents,
              co_await chain.Status(RangeBetween(at, next), kWindowBytes));
    uint64_t offset = at;
    for (const StatusExtent& extent : extents) {
      if (extent.depth >= 1 && extent.depth <= depth) {
        AppendRange(ranges, ByteRange{offset, extent.length});
      }
      offset += extent.length;
    }
    at = next;
  }
  co_return ranges;
}

Async<std::vector<ByteRange>> DifferingRanges(ImageChain& a, ImageChain& b) {
  return DifferingRanges(a, b, ByteRange{0, std::max(a.info().size, b.info().size)});
}

Async<std::vector<ByteRange>> DifferingRanges(ImageChain& a, ImageChain& b, ByteRange window) {
  std::vector<ByteRange> ranges;
  const ByteRange blocks = AlignOutward(window, kDigestBlockBytes);
  const uint64_t shorter = std::min(a.info().size, b.info().size);
  // A block that only one of them has in full differs.
  const uint64_t common =
      a.info().size == b.info().size ? shorter : AlignDown(shorter, kDigestBlockBytes);
  const uint64_t end = std::min(common, blocks.end());
  for (uint64_t at = blocks.offset; at < end;) {
    const ByteRange part = RangeBetween(at, std::min(end, at + kWindowBytes));
    WindowDigests of_a(a, part);
    WindowDigests of_b(b, part);
    CO_TRY(co_await of_a.Load(part));
    CO_TRY(co_await of_b.Load(part));
    for (size_t i = 0; i < of_a.size(); ++i) {
      if (of_a[i] == of_b[i]) continue;
      const uint64_t block = part.offset + i * kDigestBlockBytes;
      AppendRange(ranges, RangeBetween(block, std::min(block + kDigestBlockBytes, end)));
    }
    at = part.end();
  }
  const ByteRange rest = RangeBetween(common, std::max(a.info().size, b.info().size));
  AppendRange(ranges, Intersect(rest, blocks));
  co_return ranges;
}

std::vector<ByteRange> RangesWithin(const std::vector<ByteRange>& ranges, ByteRange window) {
  std::vector<ByteRange> inside;
  for (const ByteRange& range : ranges) {
    const ByteRange part = Intersect(range, window);
    if (!part.empty()) inside.push_back(ByteRange{part.offset - window.offset, part.length});
  }
  return inside;
}

std::vector<ByteRange> RangesWithin(const std::vector<ByteRange>& ranges,
                                    std::span<const ByteRange> windows) {
  std::vector<ByteRange> inside;
  uint64_t start = 0;
  for (const ByteRange& window : windows) {
    for (const ByteRange& part : RangesWithin(ranges, window)) {
      AppendRange(inside, ByteRange{start + part.offset, part.length});
    }
    start += window.length;
  }
  return inside;
}

}  // namespace mica
