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

  Async<void> Load() {
    CO_ASSIGN(const Mapping mapping, co_await chain_.layer(0).Map(window_));
    for (const Extent& extent : mapping.extents) {
      if (extent.kind == ExtentKind::kUnallocated) {
        CO_TRY(co_await LoadBelow(extent.guest));
      } else {
        CO_TRY(co_await Take(chain_.layer(0).info(), mapping, extent, extent.guest));
      }
    }
    co_return Result<void>();
  }

 private:
  Async<void> LoadBelow(ByteRange range) {
    const ByteRange inside = Intersect(range, ByteRange{0, chain_.ParentEnd()});
    if (inside.empty()) co_return Result<void>();
    CO_ASSIGN(const std::vector<OwnerRun> runs, co_await chain_.parents()->Owners(inside));
    for (const OwnerRun& run : runs) {
      if (run.owner.kind != Owner::Kind::kLayer) continue;  // they start as zeroes
      CO_TRY(co_await LoadOwned(chain_.parents()->layer(run.owner.layer), run.guest));
    }
    co_return Result<void>();
  }

  Async<void> LoadOwned(Layer& layer, ByteRange range) {
    const uint64_t block_bytes = std::max<uint32_t>(layer.info().digest_block_bytes, 1);
    const ByteRange blocks =
        Intersect(AlignOutward(range, block_bytes), ByteRange{0, layer.info().virtual_size});
    CO_ASSIGN(const Mapping mapping, co_await layer.Map(blocks));
    for (const Extent& extent : mapping.extents) {
      const ByteRange part = Intersect(extent.guest, range);
      if (part.empty() || extent.kind == ExtentKind::kUnallocated) continue;
      CO_TRY(co_await Take(layer.info(), mapping, extent, part));
    }
    co_return Result<void>();
  }

  // `part` of `extent` is what the guest sees of it.
  Async<void> Take(const LayerInfo& layer, const Mapping& mapping, const Extent& extent,
                   ByteRange part) {
    if (extent.kind == ExtentKind::kZero) co_return Result<void>();
    if (!HasWholeDigests(layer, extent, part)) co_return co_await ReadAndDigest(part);
    const size_t skipped = (part.offset - extent.guest.offset) / kDigestBlockBytes;
    const size_t first = (part.offset - window_.offset) / kDigestBlockBytes;
    std::copy_n(mapping.digests.begin() + static_cast<ptrdiff_t>(extent.first_digest + skipped),
                part.length / kDigestBlockBytes, digests.begin() + static_cast<ptrdiff_t>(first));
    co_return Result<void>();
  }

  // A short block at the end of a layer has a digest of its short content, which does not compare.
  static bool HasWholeDigests(const LayerInfo& layer, const Extent& extent, ByteRange part) {
    return extent.first_digest != Extent::kNoDigest &&
           layer.digest_block_bytes == kDigestBlockBytes &&
           IsAligned(extent.guest.offset, kDigestBlockBytes) &&
           IsAligned(part.offset, kDigestBlockBytes) && IsAligned(part.length, kDigestBlockBytes);
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
