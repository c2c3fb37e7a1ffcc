// SPDX-License-Identifier: Apache-2.0
// ParentStack: moving bytes. Index, map of the owner, move, verify.
#include <algorithm>

#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/layer_read.h"
#include "engine/parent_stack.h"

namespace mica {

Async<void> ParentStack::Read(uint64_t offset, Bytes out) {
  if (offset + out.size() > size()) {
    const size_t inside = offset < size() ? size() - offset : 0;
    FillZero(out.subspan(inside));
    out = out.first(inside);
    if (out.empty()) co_return Result<void>();
  }
  if (index_ == nullptr) co_return co_await ReadLayer(0, offset, out);
  const ByteRange range{offset, out.size()};
  if (const std::optional<Owner> one = OwnerOfAll(range)) {
    const OwnerRun run{range, *one};
    co_return co_await ReadRun(run, out);
  }
  CO_ASSIGN(const std::vector<OwnerRun> runs, co_await Owners(range));
  if (runs.size() == 1) co_return co_await ReadRun(runs.front(), out);
  std::vector<Async<void>> moves;
  for (const OwnerRun& run : runs) {
    moves.push_back(ReadRun(run, out.subspan(run.guest.offset - offset, run.guest.length)));
  }
  co_return co_await WhenAll(loop_, std::move(moves));
}

Async<void> ParentStack::ReadRun(OwnerRun run, Bytes out) {
  if (run.owner.kind == Owner::Kind::kLayer) {
    co_return co_await ReadLayer(run.owner.layer, run.guest.offset, out);
  }
  FillZero(out);
  co_return Result<void>();
}

// Only whole digest blocks can be verified. What ends inside one, because a layer above ends there,
// is read as a whole into a buffer of its own.
Async<void> ParentStack::ReadLayer(size_t position, uint64_t offset, Bytes out) {
  const LayerInfo& info = layers_[position]->info();
  const uint64_t block_bytes = std::max<uint32_t>(info.digest_block_bytes, 1);
  const ByteRange wanted{offset, out.size()};
  const ByteRange blocks =
      Intersect(AlignOutward(wanted, block_bytes), ByteRange{0, info.virtual_size});
  if (blocks == wanted) co_return co_await ReadBlocks(position, offset, out);
  AlignedBuffer whole(blocks.length);
  CO_TRY(co_await ReadBlocks(position, blocks.offset, whole.span()));
  std::copy_n(whole.data() + (offset - blocks.offset), out.size(), out.data());
  co_return Result<void>();
}

Async<void> ParentStack::ReadBlocks(size_t position, uint64_t offset, Bytes out) {
  const ByteRange range{offset, out.size()};
  CO_ASSIGN(const Mapping mapping, co_await layers_[position]->Map(range));
  if (mapping.extents.size() == 1) {
    co_return co_await ReadExtent(position, mapping, mapping.extents.front(), out);
  }
  std::vector<Async<void>> moves;
  for (const Extent& extent : mapping.extents) {
    const Bytes part = out.subspan(extent.guest.offset - offset, extent.guest.length);
    if (extent.kind == ExtentKind::kZero) {
      FillZero(part);
    } else {
      moves.push_back(ReadExtent(position, mapping, extent, part));
    }
  }
  if (moves.size() == 1) co_return co_await moves.front();
  co_return co_await WhenAll(loop_, std::move(moves));
}

Async<void> ParentStack::ReadExtent(size_t position, const Mapping& mapping, const Extent& extent,
                                    Bytes out) {
  if (extent.kind != ExtentKind::kUnallocated) {
    if (extent.kind != ExtentKind::kZero) reads_[position]->Count(out.size());
    co_return co_await ReadStored(loop_, *layers_[position], mapping, extent, out);
  }
  // The last layer, or a block of which only a part is this layer's.
  co_return co_await ReadAsking(position + 1, extent.guest.offset, out);
}

Async<void> ParentStack::ReadAsking(size_t from, uint64_t offset, Bytes out) {
  FillZero(out);
  const ByteRange range{offset, out.size()};
  CO_ASSIGN(const std::vector<OwnerRun> runs, co_await Ask(from, range));
  for (const OwnerRun& run : runs) {
    const Bytes part = out.subspan(run.guest.offset - offset, run.guest.length);
    CO_TRY(co_await ReadRun(run, part));
  }
  co_return Result<void>();
}

}  // namespace mica
