// SPDX-License-Identifier: Apache-2.0
// The read path of ImageChain: map, move, verify; what the head does not have comes from the
// parents.
#include <algorithm>

#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/image_chain.h"
#include "engine/layer_read.h"

namespace mica {

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
    CO_TRY(co_await ReadBlocks(first_whole, out.subspan(head_bytes, whole_bytes)));
  }
  const Bytes tail = out.subspan(head_bytes + whole_bytes);
  if (!tail.empty()) CO_TRY(co_await ReadPartOfBlock(last_whole, tail));
  co_return Result<void>();
}

Async<void> ImageChain::ReadPartOfBlock(uint64_t offset, Bytes out) {
  const uint64_t begin = AlignDown(offset, read_block_bytes_);
  const uint64_t end = std::min<uint64_t>(begin + read_block_bytes_, info_.size);
  AlignedBuffer block(end - begin);
  CO_TRY(co_await ReadBlocks(begin, block.span()));
  std::copy_n(block.data() + (offset - begin), out.size(), out.data());
  co_return Result<void>();
}

Async<void> ImageChain::ReadBlocks(uint64_t offset, Bytes out) {
  const ByteRange range{offset, out.size()};
  CO_ASSIGN(const Mapping mapping, co_await head_->Map(range));
  if (mapping.extents.size() == 1) {
    co_return co_await ReadExtent(mapping, mapping.extents.front(), out);
  }
  std::vector<Async<void>> moves;
  for (const Extent& extent : mapping.extents) {
    const Bytes part = out.subspan(extent.guest.offset - offset, extent.guest.length);
    if (extent.kind == ExtentKind::kZero) {
      FillZero(part);
    } else {
      moves.push_back(ReadExtent(mapping, extent, part));
    }
  }
  if (moves.size() == 1) co_return co_await moves.front();
  co_return co_await WhenAll(loop_, std::move(moves));
}

Async<void> ImageChain::ReadExtent(const Mapping& mapping, const Extent& extent, Bytes out) {
  if (extent.kind != ExtentKind::kUnallocated) {
    if (extent.kind != ExtentKind::kZero) head_reads_->Count(out.size());
    co_return co_await ReadStored(loop_, *head_, mapping, extent, out);
  }
  const ByteRange inside = Intersect(extent.guest, ByteRange{0, ParentEnd()});
  FillZero(out.subspan(inside.length));
  if (inside.empty()) co_return Result<void>();
  co_return co_await parents_->Read(inside.offset, out.first(inside.length));
}

}  // namespace mica
