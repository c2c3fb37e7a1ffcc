// SPDX-License-Identifier: Apache-2.0
// The blocks of a jbd2 journal. Big-endian throughout. Layout:
// Documentation/filesystems/ext4/journal.rst in Linux.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/result.h"

namespace mica::guest {

enum class JournalBlockType : uint32_t {
  kDescriptor = 1,
  kCommit = 2,
  kSuperblockV1 = 3,
  kSuperblockV2 = 4,
  kRevoke = 5,
};

struct JournalHeader {
  JournalBlockType type = JournalBlockType::kDescriptor;
  uint32_t sequence = 0;
};

// Empty when the block does not start with the journal's magic number.
std::optional<JournalHeader> ParseJournalHeader(ConstBytes block);

// One data block of a transaction.
struct JournalTag {
  uint64_t block = 0;  // of the file system
  uint32_t checksum = 0;
  bool escaped = false;  // the data began with the magic number, which is stored as zero
};

// What the journal's superblock says, and all that depends on its features.
class JournalFormat {
 public:
  // kCorrupt for contradictions, kUnsupported for features unknown here. `block` is block 0 of the
  // journal, `journal_blocks` how many the journal's file has, `block_bytes` those of the file
  // system.
  static Result<JournalFormat> Parse(ConstBytes block, uint64_t journal_blocks);

  uint32_t first = 0;  // the log is the ring [first, end)
  uint32_t end = 0;
  uint32_t sequence = 0;  // of the first transaction in the log
  uint32_t start = 0;     // where it begins; 0: the log is empty
  // The area of fast commits behind the log; length 0 when the journal has none.
  uint32_t fast_commit_blocks = 0;

  [[nodiscard]] uint32_t Next(uint32_t block) const noexcept {
    return block + 1 == end ? first : block + 1;
  }

  // kCorrupt when the block has none or too many.
  [[nodiscard]] Result<std::vector<JournalTag>> ParseTags(ConstBytes descriptor) const;
  // The file system blocks that a revoke block names.
  [[nodiscard]] Result<std::vector<uint64_t>> ParseRevoked(ConstBytes block) const;

  // True where the journal has no checksums. Of descriptor and revoke blocks; of commit blocks; of
  // data.
  [[nodiscard]] bool TailMatches(ConstBytes block) const;
  [[nodiscard]] bool CommitMatches(ConstBytes block) const;
  [[nodiscard]] bool DataMatches(ConstBytes data, const JournalTag& tag, uint32_t sequence) const;

  // Marks the log of a journal superblock empty; the next transaction is `next_sequence`.
  void MarkEmpty(Bytes superblock, uint32_t next_sequence) const;

 private:
  [[nodiscard]] bool has_checksums() const noexcept { return checksum_v2_ || checksum_v3_; }
  [[nodiscard]] size_t tag_bytes() const noexcept;
  [[nodiscard]] size_t tail_bytes() const noexcept { return has_checksums() ? 4 : 0; }

  bool is_64bit_ = false;
  bool checksum_v2_ = false;
  bool checksum_v3_ = false;
  uint32_t checksum_seed_ = 0;
};

// Seconds and nanoseconds of a commit block, as one number to compare.
uint64_t CommitTimeOf(ConstBytes commit);

// CRC-32C as jbd2 and ext4 use it (not inverted at the end).
uint32_t Crc32c(uint32_t seed, ConstBytes bytes) noexcept;

}  // namespace mica::guest
