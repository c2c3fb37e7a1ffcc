// SPDX-License-Identifier: Apache-2.0
#include "formats/raw/raw_layer.h"

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/digest.h"

namespace mica {

namespace {

constexpr size_t kZeroPieceBytes = size_t{1} << 20;

BlockDigest ZeroBlockDigest() {
  static const BlockDigest digest = [] {
    AlignedBuffer zero(kSidecarBlockBytes);
    FillZero(zero.span());
    return DigestBlock(zero.span());
  }();
  return digest;
}

}  // namespace

Async<Mapping> RawLayer::Map(ByteRange range) {
  if (sidecar_ != nullptr) co_return co_await MapSealed(range);
  Mapping mapping;
  Extent extent;
  extent.guest = range;
  extent.kind = ExtentKind::kData;
  extent.host_offset = range.offset;
  mapping.extents.push_back(extent);
  co_return mapping;
}

Async<Mapping> RawLayer::MapSealed(ByteRange range) {
  const uint64_t first = range.offset / kSidecarBlockBytes;
  const uint64_t count = DivideRoundUp(range.end(), kSidecarBlockBytes) - first;
  Mapping mapping;
  CO_ASSIGN(const std::vector<BlockDigest> digests, co_await sidecar_->Digests(first, count));
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t begin = (first + i) * kSidecarBlockBytes;
    const ByteRange guest = Intersect(RangeBetween(begin, begin + kSidecarBlockBytes), range);
    const ExtentKind kind = digests[i] == ZeroBlockDigest() ? ExtentKind::kZero : ExtentKind::kData;
    if (kind == ExtentKind::kData) mapping.digests.push_back(digests[i]);
    if (!mapping.extents.empty() && mapping.extents.back().kind == kind) {
      mapping.extents.back().guest.length += guest.length;
      continue;
    }
    Extent extent;
    extent.guest = guest;
    extent.kind = kind;
    if (kind == ExtentKind::kData) {
      extent.host_offset = guest.offset;
      extent.first_digest = static_cast<uint32_t>(mapping.digests.size() - 1);
    }
    mapping.extents.push_back(extent);
  }
  co_return mapping;
}

Async<WritePlan> RawLayer::PrepareWrite(ByteRange range) {
  if (!info_.writable) co_return Error{Errc::kReadOnly, "the raw image is open read-only"};
  WritePlan plan;
  plan.range = range;
  WritePlan::Target target;
  target.guest = range;
  target.host_offset = range.offset;
  plan.targets.push_back(target);
  co_return plan;
}

Async<void> RawLayer::PublishWrite(WritePlan) {
  co_return Result<void>();
}

void RawLayer::CancelWrite(WritePlan) noexcept {}

Async<void> RawLayer::Unmap(ByteRange range, ExtentKind) {
  if (!info_.writable) co_return Error{Errc::kReadOnly, "the raw image is open read-only"};
  // Without a parent kUnallocated reads zero as well.
  Result<void> result = co_await file_->WriteZeroes(range, ZeroMode::kDeallocate);
  if (result || result.error().code != Errc::kUnsupported) co_return result;
  co_return co_await WriteZeroBytes(range);
}

Async<void> RawLayer::WriteZeroBytes(ByteRange range) {
  AlignedBuffer zeroes(std::min<uint64_t>(range.length, kZeroPieceBytes));
  FillZero(zeroes.span());
  while (!range.empty()) {
    const size_t part = std::min<uint64_t>(range.length, zeroes.size());
    CO_TRY(co_await file_->Write(range.offset, zeroes.span().first(part)));
    range = RangeBetween(range.offset + part, range.end());
  }
  co_return Result<void>();
}

Async<void> RawLayer::Flush() {
  if (!info_.writable) co_return Result<void>();
  co_return co_await file_->Sync();
}

Async<void> RawLayer::Close() {
  co_return co_await Flush();
}

}  // namespace mica
