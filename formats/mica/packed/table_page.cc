// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/table_page.h"

#include <fmt/format.h>

#include "engine/base/checked_math.h"
#include "engine/digest.h"

namespace mica::packed {

namespace {

constexpr size_t kPageHeaderBytes = 16;
constexpr size_t kIndexRecordBytes = 24;
constexpr size_t kExtentRecordBytes = 16;
constexpr size_t kChunkRecordBytes = 24;  // and a digest for each block
constexpr uint32_t kStateShift = 56;

std::string_view TableName(Table table) noexcept {
  return table == Table::kExtents ? "extent" : "chunk";
}

}  // namespace

size_t RecordBytes(const Header& header, Table table, uint32_t level) noexcept {
  if (level > 0) return kIndexRecordBytes;
  if (table == Table::kExtents) return kExtentRecordBytes;
  return kChunkRecordBytes + header.BlocksPerChunk() * sizeof(BlockDigest);
}

uint32_t RecordsPerPage(const Header& header, Table table, uint32_t level) noexcept {
  return static_cast<uint32_t>((kPageBytes - kPageHeaderBytes) / RecordBytes(header, table, level));
}

ConstBytes TablePage::Record(uint32_t index) const noexcept {
  return bytes_.span().subspan(kPageHeaderBytes + index * record_bytes_, record_bytes_);
}

uint64_t TablePage::Key(uint32_t index) const noexcept {
  if (reference_.level > 0) return LoadLe<uint64_t>(Record(index), 0);
  if (reference_.table == Table::kExtents) return Extent(index).first_block;
  return first_key_ + index;
}

std::optional<uint32_t> TablePage::LastAtOrBelow(uint64_t key) const noexcept {
  uint32_t begin = 0;  // the answer, if any, is below `end` and not below `begin - 1`
  for (uint32_t end = count_; begin < end;) {
    const uint32_t middle = begin + (end - begin) / 2;
    if (Key(middle) <= key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  if (begin == 0) return std::nullopt;
  return begin - 1;
}

PageReference TablePage::Child(uint32_t index) const noexcept {
  const ConstBytes record = Record(index);
  PageReference child;
  child.page = LoadLe<uint64_t>(record, 8);
  child.hash = LoadLe<uint64_t>(record, 16);
  child.table = reference_.table;
  child.level = reference_.level - 1;
  child.first_key = Key(index);
  child.end_key = index + 1 < count_ ? Key(index + 1) : reference_.end_key;
  return child;
}

PackedExtent TablePage::Extent(uint32_t index) const noexcept {
  const ConstBytes record = Record(index);
  const uint64_t place = LoadLe<uint64_t>(record, 0);
  PackedExtent extent;
  extent.first_block = place & ((uint64_t{1} << kStateShift) - 1);
  extent.state = static_cast<ExtentState>(place >> kStateShift);
  extent.blocks = LoadLe<uint32_t>(record, 8);
  extent.rank = LoadLe<uint32_t>(record, 12);
  return extent;
}

CompressedChunk TablePage::Chunk(uint32_t index, const Header& header) const noexcept {
  const ConstBytes record = Record(index);
  CompressedChunk chunk;
  chunk.host_offset = LoadLe<uint64_t>(record, 0);
  chunk.stored_bytes = LoadLe<uint32_t>(record, 8);
  chunk.content_bytes = header.ContentBytes(first_key_ + index);
  chunk.digest = LoadLe<uint64_t>(record, 16);
  return chunk;
}

BlockDigest TablePage::Digest(uint32_t index, uint32_t block_in_chunk) const noexcept {
  return LoadLe<uint64_t>(Record(index), kChunkRecordBytes + block_in_chunk * sizeof(BlockDigest));
}

Error TablePage::Wrong(uint32_t index, std::string_view what) const {
  return Error{Errc::kCorrupt,
               fmt::format("the {} table's page {} (file offset {}, level {}), record {} of {}: {}",
                           TableName(reference_.table), reference_.page,
                           reference_.page * kPageBytes, reference_.level, index, count_, what)};
}

Result<void> TablePage::CheckFrame(const Header& header) {
  if (DigestBlock(bytes_.span()) != reference_.hash) {
    return Wrong(0, "the page does not match its checksum");
  }
  const ConstBytes bytes = bytes_.span();
  count_ = LoadLe<uint16_t>(bytes, 2);
  first_key_ = LoadLe<uint64_t>(bytes, 8);
  if (LoadLe<uint8_t>(bytes, 0) != static_cast<uint8_t>(reference_.table) ||
      LoadLe<uint8_t>(bytes, 1) != reference_.level || count_ == 0 ||
      count_ > RecordsPerPage(header, reference_.table, reference_.level) ||
      first_key_ < reference_.first_key || first_key_ >= reference_.end_key) {
    return Wrong(0, "the page is of another kind, or not of this place");
  }
  return {};
}

Result<void> TablePage::CheckIndex(const Header& header) const {
  for (uint32_t i = 0; i < count_; ++i) {
    const PageReference child = Child(i);
    const bool ascends = i == 0 ? child.first_key == first_key_ : child.first_key > Key(i - 1);
    if (!ascends || child.first_key >= reference_.end_key) return Wrong(i, "keys out of order");
    if (child.page < kHeaderCopies || child.page >= header.file_bytes / kPageBytes) {
      return Wrong(i, fmt::format("it names page {}", child.page));
    }
  }
  return {};
}

Result<void> TablePage::CheckExtents(const Header& header) const {
  uint64_t end = first_key_;
  for (uint32_t i = 0; i < count_; ++i) {
    const PackedExtent extent = Extent(i);
    if (i == 0 ? extent.first_block != first_key_ : extent.first_block < end) {
      return Wrong(i, "extents out of order");
    }
    end = extent.end_block();
    if (extent.blocks == 0 || end > reference_.end_key) {
      return Wrong(i, fmt::format("{} blocks from block {} on", extent.blocks, extent.first_block));
    }
    const bool is_data = extent.state == ExtentState::kData;
    const bool is_known =
        is_data || extent.state == ExtentState::kZero || extent.state == ExtentState::kSameAsParent;
    const bool fits =
        is_data ? uint64_t{extent.rank} + extent.blocks <= header.data_blocks : extent.rank == 0;
    if (!is_known || !fits) {
      return Wrong(i, fmt::format("state {} with rank {} of {}", static_cast<int>(extent.state),
                                  extent.rank, header.data_blocks));
    }
  }
  return {};
}

Result<void> TablePage::CheckChunks(const Header& header) const {
  if (first_key_ + count_ > reference_.end_key) return Wrong(count_ - 1, "too many chunks");
  for (uint32_t i = 0; i < count_; ++i) {
    const CompressedChunk chunk = Chunk(i, header);
    const ByteRange place{chunk.host_offset, chunk.stored_bytes};
    if (place.offset < kHeaderCopies * kPageBytes || !FitsInside(place, header.file_bytes) ||
        place.empty() || place.length > chunk.content_bytes) {
      return Wrong(i, fmt::format("{} bytes at file offset {} for {} bytes of content",
                                  place.length, place.offset, chunk.content_bytes));
    }
  }
  return {};
}

Result<std::shared_ptr<const TablePage>> TablePage::Decode(AlignedBuffer bytes,
                                                           const Header& header,
                                                           const PageReference& reference) {
  const size_t record_bytes = RecordBytes(header, reference.table, reference.level);
  const std::shared_ptr<TablePage> page(new TablePage(std::move(bytes), reference, record_bytes));
  TRY(page->CheckFrame(header));
  if (reference.level > 0) {
    TRY(page->CheckIndex(header));
  } else if (reference.table == Table::kExtents) {
    TRY(page->CheckExtents(header));
  } else {
    TRY(page->CheckChunks(header));
  }
  return page;
}

void BeginPage(Table table, uint32_t level, uint64_t first_key, Bytes page) noexcept {
  FillZero(page);
  StoreLe<uint8_t>(page, 0, static_cast<uint8_t>(table));
  StoreLe<uint8_t>(page, 1, static_cast<uint8_t>(level));
  StoreLe<uint64_t>(page, 8, first_key);
}

void PutRecord(Bytes page, uint32_t index, ConstBytes record) noexcept {
  std::ranges::copy(record, page.subspan(kPageHeaderBytes + index * record.size()).begin());
}

uint64_t FinishPage(Bytes page, uint32_t count) noexcept {
  StoreLe<uint16_t>(page, 2, static_cast<uint16_t>(count));
  return DigestBlock(page);
}

void EncodeIndexRecord(const PageReference& child, Bytes record) noexcept {
  StoreLe<uint64_t>(record, 0, child.first_key);
  StoreLe<uint64_t>(record, 8, child.page);
  StoreLe<uint64_t>(record, 16, child.hash);
}

void EncodeExtentRecord(const PackedExtent& extent, Bytes record) noexcept {
  StoreLe<uint64_t>(record, 0,
                    extent.first_block | static_cast<uint64_t>(extent.state) << kStateShift);
  StoreLe<uint32_t>(record, 8, extent.blocks);
  StoreLe<uint32_t>(record, 12, extent.rank);
}

void EncodeChunkRecord(const CompressedChunk& chunk, std::span<const BlockDigest> digests,
                       Bytes record) noexcept {
  FillZero(record);
  StoreLe<uint64_t>(record, 0, chunk.host_offset);
  StoreLe<uint32_t>(record, 8, chunk.stored_bytes);
  StoreLe<uint64_t>(record, 16, chunk.digest);
  size_t at = kChunkRecordBytes;
  for (const BlockDigest digest : digests) {
    StoreLe<uint64_t>(record, at, digest);
    at += sizeof digest;
  }
}

}  // namespace mica::packed
