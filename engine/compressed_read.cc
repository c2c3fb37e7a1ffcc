// SPDX-License-Identifier: Apache-2.0
#include "engine/compressed_read.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/checked_math.h"
#include "engine/chunk_cache.h"
#include "engine/digest.h"

namespace mica {

namespace {

Error Damaged(const LayerInfo& layer, ByteRange guest, const CompressedChunk& chunk,
              std::string_view what) {
  return Error{
      Errc::kCorrupt,
      fmt::format("{}: the compressed chunk of {} bytes at file offset {}, which holds the "
                  "block at guest offset {}, is damaged: {}; the host lost or changed it "
                  "(mica check --data lists all such chunks)",
                  layer.path, chunk.stored_bytes, chunk.host_offset, guest.offset, what)};
}

}  // namespace

Async<void> ReadCompressed(EventLoop& loop, Layer& layer, const Mapping& mapping,
                           const Extent& extent, Bytes out) {
  const LayerInfo& info = layer.info();
  const CompressedChunk& chunk = mapping.chunks[extent.chunk];
  const ByteRange part{extent.chunk_offset, out.size()};
  ChunkKey key;
  key.content = mapping.content;
  key.host_offset = chunk.host_offset;
  Result<ChunkCache::Content> content =
      co_await ChunkCache::OfProcess().Get(loop, layer.data_file(), key, chunk);
  if (!content && content.error().code != Errc::kCorrupt) {
    co_return std::move(content).error().WithContext(info.path);
  }
  if (!content) co_return Damaged(info, extent.guest, chunk, content.error().message);
  // The cache may know the chunk from another file that says its name is the same.
  if (!FitsInside(part, (*content)->size())) {
    co_return Damaged(info, extent.guest, chunk, "it is shorter than the map says");
  }
  std::ranges::copy((*content)->span().subspan(part.offset, part.length), out.begin());
  if (extent.first_digest == Extent::kNoDigest) co_return Result<void>();
  const std::span<const BlockDigest> digests =
      std::span(mapping.digests).subspan(extent.first_digest);
  const std::optional<size_t> wrong = FirstMismatch(out, info.digest_block_bytes, digests);
  if (!wrong) co_return Result<void>();
  const ByteRange block{extent.guest.offset + *wrong * info.digest_block_bytes, 0};
  co_return Damaged(info, block, chunk, "its content does not match the checksum in the map");
}

}  // namespace mica
