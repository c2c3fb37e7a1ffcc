// SPDX-License-Identifier: Apache-2.0
// The read path of ImageChain: map, move, verify; what a layer does not have comes from its parent.
#include <fmt/core.h>

#include <algorithm>

#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/compressed_read.h"
#include "engine/digest.h"
#include "engine/image_chain.h"

namespace mica {

namespace {

Result<void> VerifyExtent(const LayerInfo& layer, const Mapping& mapping, const Extent& extent,
                          ConstBytes content) {
  if (extent.first_digest == Extent::kNoDigest) return {};
  const std::span<const BlockDigest> digests =
      std::span(mapping.digests).subspan(extent.first_digest);
  const std::optional<size_t> wrong = FirstMismatch(content, layer.digest_block_bytes, digests);
  if (!wrong) return {};
  const uint64_t at = *wrong * layer.digest_block_bytes;
  return Error{Errc::kCorrupt,
               fmt::format("{}: the block at guest offset {}, file offset {} does not match its "
                           "checksum; the host lost or changed it (mica check --data lists all "
                           "such blocks)",
                           layer.path, extent.guest.offset + at, extent.host_offset + at)};
}

}  // namespace

Async<void> ImageChain::Read(uint64_t offset, Bytes buffer) {
  const ByteRange range{offset, buffer.size()};
  CO_TRY(CheckRange(range, false));
  if (range.empty()) co_return Result<void>();
  co_return co_await ReadAny(offset, buffer);
}

// Splits an arbitrary range into a part of a block, whole blocks, and a part of a block, so that
// every byte is verified and only the edges are copied.
Async<void> ImageChain::ReadAny(uint64_t offset, Bytes out) {
  const uint64_t end = offset + out.size();
  const uint64_t first_whole = AlignUp(offset, read_block_bytes_);
  // The last block of the device may be short, and is whole all the same.
  const uint64_t last_whole = end == info_.size ? end : AlignDown(end, read_block_bytes_);
  if (first_whole > last_whole) co_return co_await ReadPartOfBlock(offset, out);
  const size_t head_bytes = first_whole - offset;
  const size_t whole_bytes = last_whole - first_whole;
  if (head_bytes > 0) CO_TRY(co_await ReadPartOfBlock(offset, out.first(head_bytes)));
  if (whole_bytes > 0) {
    CO_TRY(co_await ReadFrom(0, first_whole, out.subspan(head_bytes, whole_bytes)));
  }
  const Bytes tail = out.subspan(head_bytes + whole_bytes);
  if (!tail.empty()) CO_TRY(co_await ReadPartOfBlock(last_whole, tail));
  co_return Result<void>();
}

Async<void> ImageChain::ReadPartOfBlock(uint64_t offset, Bytes out) {
  const uint64_t begin = AlignDown(offset, read_block_bytes_);
  const uint64_t end = std::min<uint64_t>(begin + read_block_bytes_, info_.size);
  AlignedBuffer block(end - begin);
  CO_TRY(co_await ReadFrom(0, begin, block.span()));
  std::copy_n(block.data() + (offset - begin), out.size(), out.data());
  co_return Result<void>();
}

Async<void> ImageChain::ReadFrom(size_t depth, uint64_t offset, Bytes out) {
  if (depth == layers_.size()) {
    FillZero(out);
    co_return Result<void>();
  }
  Layer& layer = *layers_[depth];
  const uint64_t layer_end = layer.info().virtual_size;
  if (offset + out.size() > layer_end) {
    const size_t inside = offset < layer_end ? layer_end - offset : 0;
    FillZero(out.subspan(inside));  // past the end of a parent that is smaller than its child
    out = out.first(inside);
    if (out.empty()) co_return Result<void>();
  }
  const ByteRange range{offset, out.size()};
  CO_ASSIGN(const Mapping mapping, co_await layer.Map(range));
  if (mapping.extents.size() == 1) {
    co_return co_await ReadExtent(depth, mapping, mapping.extents.front(), out);
  }
  std::vector<Async<void>> moves;
  for (const Extent& extent : mapping.extents) {
    const Bytes part = out.subspan(extent.guest.offset - offset, extent.guest.length);
    if (extent.kind == ExtentKind::kZero) {
      FillZero(part);
    } else {
      moves.push_back(ReadExtent(depth, mapping, extent, part));
    }
  }
  if (moves.size() == 1) co_return co_await moves.front();
  co_return co_await WhenAll(loop_, std::move(moves));
}

Async<void> ImageChain::ReadExtent(size_t depth, const Mapping& mapping, const Extent& extent,
                                   Bytes out) {
  switch (extent.kind) {
    case ExtentKind::kZero:
      FillZero(out);
      co_return Result<void>();
    case ExtentKind::kUnallocated:
      co_return co_await ReadFrom(depth + 1, extent.guest.offset, out);
    case ExtentKind::kData: {
      Layer& layer = *layers_[depth];
      CO_TRY(co_await layer.data_file().Read(extent.host_offset, out));
      co_return VerifyExtent(layer.info(), mapping, extent, out);
    }
    case ExtentKind::kCompressed:
      break;
  }
  co_return co_await ReadCompressed(loop_, *layers_[depth], mapping, extent, out);
}

}  // namespace mica
