// SPDX-License-Identifier: Apache-2.0
// Pages of the tables of a packed image (FORMAT.md in this folder, section 3). A table is a tree of
// pages sorted by key; whoever names a page gives its hash.
#pragma once

#include <memory>
#include <optional>

#include "engine/base/aligned_buffer.h"
#include "formats/mica/packed/header.h"

namespace mica::packed {

enum class Table : uint8_t {
  kExtents = 1,  // by first block of the guest
  kChunks = 2,   // by number of the chunk
};

enum class ExtentState : uint8_t {
  kData = 1,
  kZero = 2,
  kSameAsParent = 3,
};

// Blocks of the guest in one state. What no extent covers is the parent's.
struct PackedExtent {
  uint64_t first_block = 0;
  uint32_t blocks = 0;
  ExtentState state = ExtentState::kData;
  uint32_t rank = 0;  // kData: blocks of content before this one's

  [[nodiscard]] uint64_t end_block() const noexcept { return first_block + blocks; }
};

// A page as its parent (or the header) names it: what it must be.
struct PageReference {
  uint64_t page = 0;
  uint64_t hash = 0;
  Table table = Table::kExtents;
  uint32_t level = 0;      // 0: a leaf
  uint64_t first_key = 0;  // its keys are at least this
  uint64_t end_key = 0;    // and what they stand for ends here
  friend bool operator==(const PageReference&, const PageReference&) = default;
};

// Bytes of a record of that table at that level.
size_t RecordBytes(const Header& header, Table table, uint32_t level) noexcept;
// Records a page of it can hold.
uint32_t RecordsPerPage(const Header& header, Table table, uint32_t level) noexcept;

// A page that was verified against its reference; immutable.
class TablePage {
 public:
  // `bytes` is one page of any content. kCorrupt, naming what is wrong.
  static Result<std::shared_ptr<const TablePage>> Decode(AlignedBuffer bytes, const Header& header,
                                                         const PageReference& reference);

  [[nodiscard]] const PageReference& reference() const noexcept { return reference_; }
  [[nodiscard]] uint32_t count() const noexcept { return count_; }

  // The last record whose key is not above `key`.
  [[nodiscard]] std::optional<uint32_t> LastAtOrBelow(uint64_t key) const noexcept;
  // `index` is below count().
  [[nodiscard]] uint64_t Key(uint32_t index) const noexcept;
  // Level above 0.
  [[nodiscard]] PageReference Child(uint32_t index) const noexcept;
  // Leaves of extents.
  [[nodiscard]] PackedExtent Extent(uint32_t index) const noexcept;
  // Leaves of chunks.
  [[nodiscard]] CompressedChunk Chunk(uint32_t index, const Header& header) const noexcept;
  [[nodiscard]] BlockDigest Digest(uint32_t index, uint32_t block_in_chunk) const noexcept;

 private:
  TablePage(AlignedBuffer bytes, const PageReference& reference, size_t record_bytes)
      : bytes_(std::move(bytes)), reference_(reference), record_bytes_(record_bytes) {}
  [[nodiscard]] ConstBytes Record(uint32_t index) const noexcept;
  [[nodiscard]] Result<void> CheckFrame(const Header& header);
  [[nodiscard]] Result<void> CheckIndex(const Header& header) const;
  [[nodiscard]] Result<void> CheckExtents(const Header& header) const;
  [[nodiscard]] Result<void> CheckChunks(const Header& header) const;
  [[nodiscard]] Error Wrong(uint32_t index, std::string_view what) const;

  AlignedBuffer bytes_;
  PageReference reference_;
  size_t record_bytes_;
  uint32_t count_ = 0;
  uint64_t first_key_ = 0;
};

// Fills a page from records. `page` has kPageBytes.
void BeginPage(Table table, uint32_t level, uint64_t first_key, Bytes page) noexcept;
void PutRecord(Bytes page, uint32_t index, ConstBytes record) noexcept;
// Returns the hash of the page.
uint64_t FinishPage(Bytes page, uint32_t count) noexcept;

// Records; `record` is RecordBytes long.
void EncodeIndexRecord(const PageReference& child, Bytes record) noexcept;
void EncodeExtentRecord(const PackedExtent& extent, Bytes record) noexcept;
void EncodeChunkRecord(const CompressedChunk& chunk, std::span<const BlockDigest> digests,
                       Bytes record) noexcept;

}  // namespace mica::packed
