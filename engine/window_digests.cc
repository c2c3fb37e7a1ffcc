// SPDX-License-Identifier: Apache-2.0
#include "engine/window_digests.h"

#include <algorithm>
#include <array>

#include "engine/base/aligned_buffer.h"

namespace mica {

namespace {

BlockDigest ZeroBlockDigest() {
  static const BlockDigest digest = [] {
    const std::array<std::byte, kDigestBlockBytes> zeroes{};
    return DigestBlock(zeroes);
  }();
  return digest;
}

// A short block at the end of a layer has a digest of its short content, which does not compare.
bool HasWholeDigests(const LayerInfo& layer, const Extent& extent, ByteRange part) {
  return extent.first_digest != Extent::kNoDigest &&
         layer.digest_block_bytes == kDigestBlockBytes &&
         IsAligned(extent.guest.offset, kDigestBlockBytes) &&
         IsAligned(part.offset, kDigestBlockBytes) && IsAligned(part.length, kDigestBlockBytes);
}

}  // namespace

WindowDigests::WindowDigests(ImageChain& chain, ByteRange window)
    : chain_(chain),
      window_(window),
      digests_(DivideRoundUp(window.length, kDigestBlockBytes), ZeroBlockDigest()) {}

Async<void> WindowDigests::Load(ByteRange range) {
  const uint64_t size = chain_.info().size;
  const ByteRange inside = Intersect(range, ByteRange{0, size});
  if (inside.empty()) co_return Result<void>();
  const uint64_t end = std::min(AlignUp(inside.end(), kDigestBlockBytes), size);
  CO_ASSIGN(const Mapping mapping, co_await chain_.layer(0).Map(RangeBetween(inside.offset, end)));
  for (const Extent& extent : mapping.extents) {
    const ByteRange part = Intersect(extent.guest, inside);
    if (extent.kind == ExtentKind::kUnallocated) {
      CO_TRY(co_await LoadBelow(part));
    } else {
      CO_TRY(co_await Take(chain_.layer(0).info(), mapping, extent, part));
    }
  }
  co_return Result<void>();
}

Async<void> WindowDigests::LoadBelow(ByteRange range) {
  const ByteRange inside = Intersect(range, ByteRange{0, chain_.ParentEnd()});
  if (inside.empty()) co_return Result<void>();
  CO_ASSIGN(const std::vector<OwnerRun> runs, co_await chain_.parents()->Owners(inside));
  for (const OwnerRun& run : runs) {
    if (run.owner.kind != Owner::Kind::kLayer) continue;  // they start as zeroes
    CO_TRY(co_await LoadOwned(chain_.parents()->layer(run.owner.layer), run.guest));
  }
  co_return Result<void>();
}

Async<void> WindowDigests::LoadOwned(Layer& layer, ByteRange range) {
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
Async<void> WindowDigests::Take(const LayerInfo& layer, const Mapping& mapping,
                                const Extent& extent, ByteRange part) {
  if (extent.kind == ExtentKind::kZero) co_return Result<void>();
  if (!HasWholeDigests(layer, extent, part)) co_return co_await ReadAndDigest(part);
  const size_t skipped = (part.offset - extent.guest.offset) / kDigestBlockBytes;
  const size_t first = (part.offset - window_.offset) / kDigestBlockBytes;
  std::copy_n(mapping.digests.begin() + static_cast<ptrdiff_t>(extent.first_digest + skipped),
              part.length / kDigestBlockBytes, digests_.begin() + static_cast<ptrdiff_t>(first));
  co_return Result<void>();
}

Async<void> WindowDigests::ReadAndDigest(ByteRange range) {
  AlignedBuffer block(kDigestBlockBytes);
  const uint64_t device_end = chain_.info().size;
  for (uint64_t at = AlignDown(range.offset, kDigestBlockBytes); at < range.end();
       at += kDigestBlockBytes) {
    const Bytes inside = block.span().first(std::min<uint64_t>(kDigestBlockBytes, device_end - at));
    FillZero(block.span().subspan(inside.size()));
    CO_TRY(co_await chain_.Read(at, inside));
    digests_[(at - window_.offset) / kDigestBlockBytes] = DigestBlock(block.span());
  }
  co_return Result<void>();
}

}  // namespace mica
