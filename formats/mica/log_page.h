// SPDX-License-Identifier: Apache-2.0
// Log records and pages: FORMAT.md section 3. Pure codec.
#pragma once

#include <span>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/result.h"
#include "formats/mica/layout.h"

namespace mica::native {

enum class RecordKind : uint8_t {
  kData = 1,          // blocks lie in consecutive slots, each with its digest
  kZero = 2,          // blocks read zero
  kAbsent = 3,        // blocks are the parent's again
  kSameAsParent = 4,  // blocks are known to equal the parent's
};

struct LogRecord {
  uint64_t first_block = 0;
  uint32_t block_count = 0;
  Slot first_slot = 0;  // kData only
  RecordKind kind = RecordKind::kData;
  uint32_t first_digest = 0;  // index into RecordBatch::digests; kData only
  friend bool operator==(const LogRecord&, const LogRecord&) = default;
};

// Records in the order in which they were published.
struct RecordBatch {
  std::vector<LogRecord> records;
  std::vector<BlockDigest> digests;

  // Both grow the last record when the new one continues it.
  void AddData(uint64_t first_block, Slot first_slot, std::span<const BlockDigest> block_digests);
  void AddState(RecordKind kind, uint64_t first_block, uint64_t block_count);
  void Append(const RecordBatch& later);
  void Clear();
  [[nodiscard]] bool empty() const noexcept { return records.empty(); }
  // An upper bound of the log pages this batch needs.
  [[nodiscard]] uint64_t PagesMax() const noexcept;
  friend bool operator==(const RecordBatch&, const RecordBatch&) = default;
};

struct LogPageHeader {
  uint64_t tag = 0;       // Superblock::Tag of the image
  uint64_t sequence = 0;  // number of the page
  uint64_t previous_hash = 0;
  // When this page was written, all pages up to this one and all data they name were durable.
  uint64_t durable_sequence = 0;
  uint32_t epoch = 0;
  friend bool operator==(const LogPageHeader&, const LogPageHeader&) = default;
};

struct LogPage {
  LogPageHeader header;
  RecordBatch batch;
  uint64_t hash = 0;  // of this page
};

// The pages for `batch`, in order; one page without records when the batch is empty. `first` is the
// header of the first page; the others follow from it. `last_hash` is set to the last page's hash.
AlignedBuffer EncodeLogPages(const RecordBatch& batch, LogPageHeader first, uint64_t& last_hash);

// Any input. kCorrupt unless the page is intact and every record in it makes sense for a disk of
// `block_count` blocks.
Result<LogPage> DecodeLogPage(ConstBytes page, uint64_t block_count);

}  // namespace mica::native
