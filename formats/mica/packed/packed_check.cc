// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/packed_check.h"

#include <fmt/format.h>

#include "engine/chunk_codec.h"
#include "engine/digest.h"
#include "formats/mica/packed/packed_layer.h"
#include "formats/mica/packed/table_reader.h"
#include "formats/seal_digest.h"

namespace mica::packed {

namespace {

SealedState SealedStateOf(ExtentState state) {
  if (state == ExtentState::kZero) return SealedState::kZero;
  if (state == ExtentState::kSameAsParent) return SealedState::kSameAsParent;
  return SealedState::kData;
}

class Checker {
 public:
  Checker(BlockFile& file, const Header& header, CheckScope scope, CheckReport& report)
      : file_(file), header_(header), scope_(scope), report_(report), tables_(file, header) {}

  Async<void> Run() {
    for (uint64_t block = 0; block < header_.BlockCount();) {
      CO_ASSIGN(const TableReader::Found leaf, co_await tables_.Find(Table::kExtents, block));
      if (leaf.damage) {
        report_.AddCorruption(leaf.damage->message, GuestRange(block, leaf.end_key));
      }
      for (uint32_t i = 0; leaf.page != nullptr && i < leaf.page->count(); ++i) {
        CO_TRY(co_await CheckExtent(leaf.page->Extent(i)));
        if (report_.corruptions > kCorruptionsMax) co_return Result<void>();
      }
      block = leaf.end_key;
    }
    if (report_.corruptions > 0) co_return Result<void>();  // and the sums do not hold
    CheckSums();
    co_return Result<void>();
  }

 private:
  // More than that is no damage but another file; a crafted one could go on for hours.
  static constexpr uint64_t kCorruptionsMax = 100'000;

  void CheckSums() {
    if (rank_ != header_.data_blocks) {
      report_.AddCorruption(fmt::format("the extents have {} blocks of data, the header says {}",
                                        rank_, header_.data_blocks),
                            std::nullopt);
    }
    if (stored_bytes_ != header_.stored_bytes) {
      report_.AddCorruption(fmt::format("the chunks take {} bytes, the header says {}",
                                        stored_bytes_, header_.stored_bytes),
                            std::nullopt);
    }
    const std::optional<LayerIdentity> parent =
        header_.parent ? header_.parent->identity : std::nullopt;
    if (seal_.Finish(header_.identity.virtual_size, parent) != header_.identity.digest) {
      report_.AddCorruption("the tables do not add up to the digest of the seal", std::nullopt);
    }
  }

  [[nodiscard]] ByteRange GuestRange(uint64_t first_block, uint64_t end_block) const {
    const ByteRange disk{0, header_.identity.virtual_size};
    return Intersect(RangeBetween(first_block * kBlockBytes, end_block * kBlockBytes), disk);
  }

  Async<void> CheckExtent(PackedExtent extent) {
    if (extent.state != ExtentState::kData) {
      for (uint64_t i = 0; i < extent.blocks; ++i) {
        seal_.Add(extent.first_block + i, SealedStateOf(extent.state), 0);
      }
      report_.blocks_checked += extent.blocks;
      co_return Result<void>();
    }
    if (extent.rank != rank_) {
      report_.AddCorruption(
          fmt::format("the extent at guest offset {} has content from block {} on, expected {}",
                      extent.first_block * kBlockBytes, extent.rank, rank_),
          GuestRange(extent.first_block, extent.end_block()));
    }
    rank_ = uint64_t{extent.rank} + extent.blocks;
    for (uint64_t i = 0; i < extent.blocks;) {
      const uint64_t rank = extent.rank + i;
      const uint64_t in_chunk = rank % header_.BlocksPerChunk();
      const uint64_t blocks = std::min(extent.blocks - i, header_.BlocksPerChunk() - in_chunk);
      CO_TRY(co_await CheckPart(rank, extent.first_block + i, blocks));
      if (report_.corruptions > kCorruptionsMax) break;
      i += blocks;
    }
    co_return Result<void>();
  }

  // Blocks of the guest that lie in one chunk.
  Async<void> CheckPart(uint64_t rank, uint64_t first_block, uint64_t blocks) {
    const uint64_t number = rank / header_.BlocksPerChunk();
    const auto in_chunk = static_cast<uint32_t>(rank % header_.BlocksPerChunk());
    const ByteRange guest = GuestRange(first_block, first_block + blocks);
    report_.blocks_checked += blocks;
    if (number != chunk_number_) CO_TRY(co_await LoadChunk(number));
    if (!chunk_error_.empty()) {
      report_.AddCorruption(fmt::format("guest offset {}: {}", guest.offset, chunk_error_), guest);
      co_return Result<void>();
    }
    for (uint32_t i = 0; i < blocks; ++i) {
      const BlockDigest digest = leaf_.page->Digest(index_, in_chunk + i);
      seal_.Add(first_block + i, SealedState::kData, digest);
      if (scope_ == CheckScope::kMetadata) continue;
      const ByteRange block = GuestRange(first_block + i, first_block + i + 1);
      const ConstBytes content =
          content_.span().subspan(size_t{in_chunk + i} * kBlockBytes, block.length);
      if (DigestBlock(content) == digest) continue;
      report_.AddCorruption(
          fmt::format("the block at guest offset {}, in the chunk at file offset {}, does not "
                      "match its checksum",
                      block.offset, leaf_.page->Chunk(index_, header_).host_offset),
          block);
    }
    co_return Result<void>();
  }

  // Afterwards chunk_error_ says why there is none, or index_ and content_ are those of the chunk.
  Async<void> LoadChunk(uint64_t number) {
    chunk_number_ = number;
    chunk_error_.clear();
    if (leaf_.page == nullptr || number >= leaf_.end_key || number < leaf_.page->Key(0)) {
      CO_ASSIGN(leaf_, co_await tables_.Find(Table::kChunks, number));
    }
    if (leaf_.damage) {
      chunk_error_ = leaf_.damage->message;
      co_return Result<void>();
    }
    const std::optional<uint32_t> index =
        leaf_.page == nullptr ? std::nullopt : leaf_.page->LastAtOrBelow(number);
    if (!index || leaf_.page->Key(*index) != number) {
      chunk_error_ = fmt::format("the chunk table has no chunk {}", number);
      co_return Result<void>();
    }
    index_ = *index;
    const CompressedChunk chunk = leaf_.page->Chunk(index_, header_);
    stored_bytes_ += chunk.stored_bytes;
    if (scope_ == CheckScope::kMetadata) co_return Result<void>();
    co_return co_await ReadChunk(chunk);
  }

  Async<void> ReadChunk(CompressedChunk chunk) {
    AlignedBuffer stored(chunk.stored_bytes);
    CO_TRY(co_await file_.Read(chunk.host_offset, stored.span()));
    if (DigestBlock(stored.span()) != chunk.digest) {
      chunk_error_ = fmt::format(
          "the chunk of {} bytes at file offset {} does not match its "
          "checksum",
          chunk.stored_bytes, chunk.host_offset);
      co_return Result<void>();
    }
    if (chunk.stored_bytes == chunk.content_bytes) {
      content_ = std::move(stored);
      co_return Result<void>();
    }
    content_ = AlignedBuffer(chunk.content_bytes);
    const Result<void> done = DecompressChunk(stored.span(), content_.span());
    if (!done) {
      chunk_error_ = fmt::format("the chunk at file offset {} cannot be decompressed ({})",
                                 chunk.host_offset, done.error().message);
    }
    co_return Result<void>();
  }

  BlockFile& file_;
  const Header& header_;
  const CheckScope scope_;
  CheckReport& report_;
  TableReader tables_;
  SealDigest seal_;
  uint64_t rank_ = 0;  // blocks of data so far
  uint64_t stored_bytes_ = 0;
  // The chunk looked at last.
  uint64_t chunk_number_ = UINT64_MAX;
  TableReader::Found leaf_;
  uint32_t index_ = 0;
  AlignedBuffer content_;
  std::string chunk_error_;
};

}  // namespace

Async<CheckReport> CheckPacked(std::filesystem::path path, BlockFile& file, CheckScope scope) {
  Result<Header> header = co_await ReadHeader(file);
  if (!header) co_return std::move(header).error().WithContext(path.string());
  CheckReport report;
  Checker checker(file, *header, scope, report);
  CO_TRY(co_await checker.Run());
  co_return report;
}

}  // namespace mica::packed
