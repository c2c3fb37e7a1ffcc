// SPDX-License-Identifier: Apache-2.0
#include "engine/chain_difference.h"

#include <algorithm>
#include <array>

#include "engine/base/aligned_buffer.h"
#include "engine/digest.h"

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

BlockDigest ZeroBlockDigest() {
  static const BlockDigest digest = [] {
    const std::array<std::byte, kDigestBlockBytes> zeroes{};
    return DigestBlock(zeroes);
  }();
  return digest;
}

// The digests of the blocks of `window` as the chain shows them: digests[i] belongs to the block at
// window.offset + i * kDigestBlockBytes.
class WindowDigests {
 public:
  WindowDigests(ImageChain& chain, ByteRange window)
      : chain_(chain),
        window_(window),
        digests(DivideRoundUp(window.length, kDigestBlockBytes), ZeroBlockDigest()) {}

  Async<void> Load() { co_return co_await LoadFrom(0, window_); }

 private:
  Async<void> LoadFrom(size_t depth, ByteRange range) {
    if (depth == chain_.depth()) co_return Result<void>();
    Layer& layer = chain_.layer(depth);
    const ByteRange inside = Intersect(range, ByteRange{0, layer.info().virtual_size});
    if (inside.empty()) co_return Result<void>();
    CO_ASSIGN(const Mapping mapping, co_await layer.Map(inside));
    for (const Extent& extent : mapping.extents) {
      if (extent.kind == ExtentKind::kUnallocated) {
        CO_TRY(co_await LoadFrom(depth + 1, extent.guest));
      } else if (extent.kind == ExtentKind::kZero) {
        Fill(extent.guest, nullptr);
      } else if (HasWholeDigests(layer.info(), extent)) {
        Fill(extent.guest, &mapping.digests[extent.first_digest]);
      } else {
        CO_TRY(co_await ReadAndDigest(extent.guest));
      }
    }
    co_return Result<void>();
  }

  // A short block at the end of a layer has a digest of its short content, which does not compare.
  static bool HasWholeDigests(const LayerInfo& layer, const Extent& extent) {
    return extent.first_digest != Extent::kNoDigest &&
           layer.digest_block_bytes == kDigestBlockBytes &&
           IsAligned(extent.guest.offset, kDigestBlockBytes) &&
           IsAligned(extent.guest.length, kDigestBlockBytes);
  }

  void Fill(ByteRange range, const BlockDigest* values) {
    size_t index = (range.offset - window_.offset) / kDigestBlockBytes;
    for (uint64_t at = range.offset; at < range.end(); at += kDigestBlockBytes, ++index) {
      digests[index] = values == nullptr ? ZeroBlockDigest() : *values++;
    }
  }

  Async<void> ReadAndDigest(ByteRange range) {
    AlignedBuffer block(kDigestBlockBytes);
    const uint64_t device_end = chain_.info().size;
    for (uint64_t at = AlignDown(range.offset, kDigestBlockBytes); at < range.end();
         at += kDigestBlockBytes) {
      const Bytes inside =
          block.span().first(std::min<uint64_t>(kDigestBlockBytes, device_end - at));
      FillZero(block.span().subspan(inside.size()));
      CO_TRY(co_await chain_.Read(at, inside));
      digests[(at - window_.offset) / kDigestBlockBytes] = DigestBlock(block.span());
    }
    co_return Result<void>();
  }

  ImageChain& chain_;
  ByteRange window_;

 public:
  std::vector<BlockDigest> digests;
};

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
  std::vector<ByteRange> ranges;
  const uint64_t shorter = std::min(a.info().size, b.info().size);
  // A block that only one of them has in full differs.
  const uint64_t common =
      a.info().size == b.info().size ? shorter : AlignDown(shorter, kDigestBlockBytes);
  for (uint64_t at = 0; at < common;) {
    const ByteRange window = RangeBetween(at, std::min(common, at + kWindowBytes));
    WindowDigests of_a(a, window);
    WindowDigests of_b(b, window);
    CO_TRY(co_await of_a.Load());
    CO_TRY(co_await of_b.Load());
    for (size_t i = 0; i < of_a.digests.size(); ++i) {
      if (of_a.digests[i] == of_b.digests[i]) continue;
      const uint64_t block = window.offset + i * kDigestBlockBytes;
      AppendRange(ranges, RangeBetween(block, std::min(block + kDigestBlockBytes, common)));
    }
    at = window.end();
  }
  AppendRange(ranges, RangeBetween(common, std::max(a.info().size, b.info().size)));
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

}  // namespace mica
