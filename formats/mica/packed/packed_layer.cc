// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/packed_layer.h"

#include <fmt/format.h>

#include <algorithm>

namespace mica::packed {

namespace {

void AddExtent(const Extent& extent, Mapping& mapping) {
  if (extent.guest.empty()) return;
  if (!mapping.extents.empty()) {
    Extent& last = mapping.extents.back();
    bool continues = last.kind == extent.kind && extent.kind != ExtentKind::kCompressed;
    if (extent.kind == ExtentKind::kData) {
      continues = continues && last.host_offset + last.guest.length == extent.host_offset;
    }
    if (continues) {
      last.guest.length += extent.guest.length;
      return;
    }
  }
  mapping.extents.push_back(extent);
}

}  // namespace

PackedLayer::PackedLayer(const std::filesystem::path& path, std::unique_ptr<BlockFile> file,
                         const Header& header)
    : file_(std::move(file)),
      header_(header),
      content_(ContentNameOf(header)),
      tables_(*file_, header_) {
  info_.format = "mica";
  info_.path = path.string();
  info_.virtual_size = header.identity.virtual_size;
  info_.cluster_bytes = kBlockBytes;
  info_.digest_block_bytes = kBlockBytes;
  info_.sealed = true;
  info_.parent = header.parent;
  info_.identity = header.identity;
  CompressionInfo compression;
  compression.codec = "zstd";
  compression.level = header.level;
  compression.chunk_bytes = header.chunk_bytes;
  compression.content_bytes = header.data_blocks * kBlockBytes;
  compression.stored_bytes = header.stored_bytes;
  info_.compression = compression;
}

// What no extent covers is the parent's, up to parent_bytes.
void PackedLayer::AddAbsent(ByteRange guest, Mapping& mapping) const {
  const uint64_t shown_bytes =
      header_.parent ? AlignUp(header_.parent_bytes, kBlockBytes) : UINT64_MAX;
  Extent extent;
  extent.guest = Intersect(guest, ByteRange{0, shown_bytes});
  AddExtent(extent, mapping);
  extent.kind = ExtentKind::kZero;
  extent.guest = RangeBetween(std::max(guest.offset, shown_bytes), guest.end());
  AddExtent(extent, mapping);
}

// The content from block `rank` on, which is that of `guest`.
Async<void> PackedLayer::MapData(ByteRange guest, uint64_t rank, Mapping& mapping) {
  const uint32_t blocks_per_chunk = header_.BlocksPerChunk();
  TableReader::Found leaf;
  while (!guest.empty()) {
    const uint64_t number = rank / blocks_per_chunk;
    const auto block_in_chunk = static_cast<uint32_t>(rank % blocks_per_chunk);
    if (leaf.page == nullptr || number >= leaf.end_key) {
      CO_ASSIGN(leaf, co_await tables_.Find(Table::kChunks, number));
      if (leaf.damage) co_return *std::move(leaf.damage);
    }
    const std::optional<uint32_t> index =
        leaf.page == nullptr ? std::nullopt : leaf.page->LastAtOrBelow(number);
    if (!index || leaf.page->Key(*index) != number) {
      co_return Error{Errc::kCorrupt, fmt::format("the chunk table has no chunk {} of {}", number,
                                                  header_.ChunkCount())};
    }
    const CompressedChunk chunk = leaf.page->Chunk(*index, header_);
    const uint32_t offset = block_in_chunk * kBlockBytes;
    Extent extent;
    extent.guest =
        ByteRange{guest.offset, std::min<uint64_t>(guest.length, chunk.content_bytes - offset)};
    extent.first_digest = static_cast<uint32_t>(mapping.digests.size());
    const auto blocks = static_cast<uint32_t>(DivideRoundUp(extent.guest.length, kBlockBytes));
    for (uint32_t i = 0; i < blocks; ++i) {
      mapping.digests.push_back(leaf.page->Digest(*index, block_in_chunk + i));
    }
    if (chunk.stored_bytes == chunk.content_bytes) {  // did not become smaller
      extent.kind = ExtentKind::kData;
      extent.host_offset = chunk.host_offset + offset;
    } else {
      extent.kind = ExtentKind::kCompressed;
      extent.chunk = static_cast<uint32_t>(mapping.chunks.size());
      extent.chunk_offset = offset;
      mapping.chunks.push_back(chunk);
    }
    AddExtent(extent, mapping);
    guest = RangeBetween(extent.guest.end(), guest.end());
    rank += blocks;
  }
  co_return Result<void>();
}

Async<Mapping> PackedLayer::Map(ByteRange range) {
  Mapping mapping;
  mapping.content = content_;
  const uint64_t end_block = DivideRoundUp(range.end(), kBlockBytes);
  for (uint64_t block = range.offset / kBlockBytes; block < end_block;) {
    Result<TableReader::Found> leaf = co_await tables_.Find(Table::kExtents, block);
    if (!leaf) co_return std::move(leaf).error().WithContext(info_.path);
    if (leaf->damage) co_return (*std::move(leaf->damage)).WithContext(info_.path);
    const uint64_t leaf_end = std::min(end_block, leaf->end_key);
    uint32_t index = leaf->page == nullptr ? 0 : leaf->page->LastAtOrBelow(block).value_or(0);
    const uint32_t count = leaf->page == nullptr ? 0 : leaf->page->count();
    for (; index < count && block < leaf_end; ++index) {
      const PackedExtent extent = leaf->page->Extent(index);
      if (extent.end_block() <= block) continue;
      const uint64_t begin = std::min(leaf_end, std::max(block, extent.first_block));
      const uint64_t end = std::min(leaf_end, extent.end_block());
      AddAbsent(Intersect(RangeBetween(block * kBlockBytes, begin * kBlockBytes), range), mapping);
      block = std::max(begin, end);
      const ByteRange guest =
          Intersect(RangeBetween(begin * kBlockBytes, end * kBlockBytes), range);
      if (extent.state != ExtentState::kData) {
        Extent plain;
        plain.guest = guest;
        if (extent.state == ExtentState::kZero) plain.kind = ExtentKind::kZero;
        AddExtent(plain, mapping);
        continue;
      }
      Result<void> mapped =
          co_await MapData(guest, extent.rank + (begin - extent.first_block), mapping);
      if (!mapped) co_return std::move(mapped).error().WithContext(info_.path);
    }
    AddAbsent(Intersect(RangeBetween(block * kBlockBytes, leaf_end * kBlockBytes), range), mapping);
    block = leaf_end;
  }
  co_return mapping;
}

Async<WritePlan> PackedLayer::PrepareWrite(ByteRange) {
  co_return ReadOnly(info_.path);
}

Async<void> PackedLayer::PublishWrite(WritePlan) {
  co_return ReadOnly(info_.path);
}

Async<void> PackedLayer::Unmap(ByteRange, ExtentKind) {
  co_return ReadOnly(info_.path);
}

Async<void> PackedLayer::Flush() {
  co_return Result<void>();
}

Async<void> PackedLayer::Close() {
  co_return Result<void>();
}

bool LooksPacked(ConstBytes head) noexcept {
  if (LooksLikeHeader(head)) return true;
  return head.size() > kPageBytes && LooksLikeHeader(head.subspan(kPageBytes));
}

Async<bool> IsPacked(BlockFile& file) {
  AlignedBuffer head(kHeaderCopies * kPageBytes);
  CO_TRY(co_await file.Read(0, head.span()));
  co_return LooksPacked(head.span());
}

Error ReadOnly(const std::filesystem::path& path) {
  return Error{Errc::kReadOnly,
               fmt::format("{}: the image is sealed and compressed, so it is never written again; "
                           "make a delta on it with `mica clone`",
                           path.string())};
}

Async<std::unique_ptr<Layer>> OpenPacked(std::filesystem::path path,
                                         std::unique_ptr<BlockFile> file) {
  Result<Header> header = co_await ReadHeader(*file);
  if (!header) co_return std::move(header).error().WithContext(path.string());
  std::unique_ptr<Layer> layer = std::make_unique<PackedLayer>(path, std::move(file), *header);
  co_return layer;
}

Async<Header> ReadHeader(BlockFile& file) {
  AlignedBuffer copies(kHeaderCopies * kPageBytes);
  CO_TRY(co_await file.Read(0, copies.span()));
  CO_ASSIGN(Header header,
            ChooseHeader(copies.span().first(kPageBytes), copies.span().subspan(kPageBytes)));
  CO_ASSIGN(const uint64_t size, co_await file.Size());
  if (size < header.file_bytes) {
    co_return Error{Errc::kCorrupt,
                    fmt::format("truncated: {} bytes long, expected {}", size, header.file_bytes)};
  }
  co_return header;
}

}  // namespace mica::packed
