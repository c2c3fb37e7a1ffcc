// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/journal_format.h"

#include <ext2fs/ext2fs.h>
#include <fmt/format.h>

namespace mica::guest {

namespace {

constexpr uint32_t kMagic = 0xc03b3998;
constexpr size_t kHeaderBytes = 12;
constexpr size_t kSuperblockBytes = 1024;
constexpr size_t kUuidBytes = 16;
constexpr size_t kSequenceOffset = 24;
constexpr size_t kStartOffset = 28;
constexpr size_t kSuperblockChecksumOffset = 0xfc;
constexpr size_t kCommitChecksumOffset = 16;
constexpr uint32_t kFastCommitBlocksDefault = 256;

enum Incompatible : uint32_t {
  kRevoke = 0x1,
  k64Bit = 0x2,
  kAsyncCommit = 0x4,
  kChecksumV2 = 0x8,
  kChecksumV3 = 0x10,
  kFastCommit = 0x20,
};
constexpr uint32_t kKnown = kRevoke | k64Bit | kChecksumV2 | kChecksumV3 | kFastCommit;

enum TagFlag : uint32_t { kEscaped = 1, kSameUuid = 2, kLast = 8 };

Error Corrupt(std::string_view what) {
  return Error{Errc::kCorrupt, fmt::format("journal: {}", what)};
}

// The checksum of a block whose own checksum field counts as zero.
uint32_t ChecksumWithout(uint32_t seed, ConstBytes block, size_t field) {
  const std::byte zero[4] = {};
  uint32_t crc = Crc32c(seed, block.first(field));
  crc = Crc32c(crc, zero);
  return Crc32c(crc, block.subspan(field + sizeof zero));
}

}  // namespace

uint32_t Crc32c(uint32_t seed, ConstBytes bytes) noexcept {
  return ext2fs_crc32c_le(seed, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

std::optional<JournalHeader> ParseJournalHeader(ConstBytes block) {
  if (block.size() < kHeaderBytes || LoadBe<uint32_t>(block, 0) != kMagic) return std::nullopt;
  return JournalHeader{static_cast<JournalBlockType>(LoadBe<uint32_t>(block, 4)),
                       LoadBe<uint32_t>(block, 8)};
}

Result<JournalFormat> JournalFormat::Parse(ConstBytes block, uint64_t journal_blocks) {
  const auto header = ParseJournalHeader(block);
  if (!header || (header->type != JournalBlockType::kSuperblockV1 &&
                  header->type != JournalBlockType::kSuperblockV2)) {
    return Corrupt("it has no superblock");
  }
  if (LoadBe<uint32_t>(block, 12) != block.size()) return Corrupt("its blocks have another size");
  JournalFormat format;
  const auto blocks = LoadBe<uint32_t>(block, 16);
  format.first = LoadBe<uint32_t>(block, 20);
  format.sequence = LoadBe<uint32_t>(block, kSequenceOffset);
  format.start = LoadBe<uint32_t>(block, kStartOffset);
  format.end = blocks;
  if (blocks > journal_blocks) return Corrupt("it is longer than its file");
  if (header->type == JournalBlockType::kSuperblockV2) {
    const auto features = LoadBe<uint32_t>(block, 40);
    if ((features & ~uint32_t{kKnown}) != 0) {
      return Error{Errc::kUnsupported, fmt::format("journal: features {:#x} are not supported",
                                                   features & ~uint32_t{kKnown})};
    }
    format.is_64bit_ = (features & k64Bit) != 0;
    format.checksum_v2_ = (features & kChecksumV2) != 0;
    format.checksum_v3_ = (features & kChecksumV3) != 0;
    format.checksum_seed_ = Crc32c(~0u, block.subspan(48, kUuidBytes));
    if (format.has_checksums()) {
      const ConstBytes superblock = block.first(kSuperblockBytes);
      if (ChecksumWithout(~0u, superblock, kSuperblockChecksumOffset) !=
          LoadBe<uint32_t>(block, kSuperblockChecksumOffset)) {
        return Corrupt("its superblock fails its checksum");
      }
    }
    if ((features & kFastCommit) != 0) {
      const auto stored = LoadBe<uint32_t>(block, 84);
      format.fast_commit_blocks = stored != 0 ? stored : kFastCommitBlocksDefault;
      if (format.fast_commit_blocks >= blocks) return Corrupt("its fast commit area is too large");
      format.end = blocks - format.fast_commit_blocks;
    }
  }
  if (format.first == 0 || format.first >= format.end) return Corrupt("its log has no blocks");
  if (format.start != 0 && (format.start < format.first || format.start >= format.end)) {
    return Corrupt("its log starts outside it");
  }
  return format;
}

size_t JournalFormat::tag_bytes() const noexcept {
  if (checksum_v3_) return 16;
  // jbd2 really adds two bytes for version 2, although the checksum replaced an old field.
  return size_t{is_64bit_ ? 12u : 8u} + (checksum_v2_ ? 2 : 0);
}

Result<std::vector<JournalTag>> JournalFormat::ParseTags(ConstBytes descriptor) const {
  std::vector<JournalTag> tags;
  size_t at = kHeaderBytes;
  const size_t stop = descriptor.size() - tail_bytes();
  while (at + tag_bytes() <= stop) {
    JournalTag tag;
    tag.block = LoadBe<uint32_t>(descriptor, at);
    uint32_t flags = 0;
    if (checksum_v3_) {
      flags = LoadBe<uint32_t>(descriptor, at + 4);
      tag.checksum = LoadBe<uint32_t>(descriptor, at + 12);
    } else {
      tag.checksum = LoadBe<uint16_t>(descriptor, at + 4);
      flags = LoadBe<uint16_t>(descriptor, at + 6);
    }
    if (is_64bit_) tag.block |= uint64_t{LoadBe<uint32_t>(descriptor, at + 8)} << 32;
    tag.escaped = (flags & kEscaped) != 0;
    tags.push_back(tag);
    at += tag_bytes();
    if ((flags & kSameUuid) == 0) at += kUuidBytes;
    if ((flags & kLast) != 0) return tags;
  }
  // A full descriptor need not mark its last tag.
  if (tags.empty()) return Corrupt("a descriptor names no blocks");
  return tags;
}

Result<std::vector<uint64_t>> JournalFormat::ParseRevoked(ConstBytes block) const {
  const size_t used = LoadBe<uint32_t>(block, kHeaderBytes);
  const size_t entry_bytes = is_64bit_ ? 8 : 4;
  if (used < kHeaderBytes + 4 || used > block.size() - tail_bytes()) {
    return Corrupt("a revoke block has an impossible length");
  }
  std::vector<uint64_t> revoked;
  for (size_t at = kHeaderBytes + 4; at + entry_bytes <= used; at += entry_bytes) {
    revoked.push_back(is_64bit_ ? LoadBe<uint64_t>(block, at) : LoadBe<uint32_t>(block, at));
  }
  return revoked;
}

bool JournalFormat::TailMatches(ConstBytes block) const {
  if (!has_checksums()) return true;
  const size_t field = block.size() - 4;
  return ChecksumWithout(checksum_seed_, block, field) == LoadBe<uint32_t>(block, field);
}

bool JournalFormat::CommitMatches(ConstBytes block) const {
  if (!has_checksums()) return true;
  return ChecksumWithout(checksum_seed_, block, kCommitChecksumOffset) ==
         LoadBe<uint32_t>(block, kCommitChecksumOffset);
}

bool JournalFormat::DataMatches(ConstBytes data, const JournalTag& tag,
                                uint32_t sequence_of_tag) const {
  if (!has_checksums()) return true;
  std::byte number[4];
  StoreBe(Bytes(number), 0, sequence_of_tag);
  const uint32_t crc = Crc32c(Crc32c(checksum_seed_, number), data);
  return tag.checksum == (checksum_v3_ ? crc : crc & 0xffff);
}

void JournalFormat::MarkEmpty(Bytes superblock, uint32_t next_sequence) const {
  StoreBe(superblock, kSequenceOffset, next_sequence);
  StoreBe(superblock, kStartOffset, uint32_t{0});
  if (!has_checksums()) return;
  const ConstBytes covered = superblock.first(kSuperblockBytes);
  StoreBe(superblock, kSuperblockChecksumOffset,
          ChecksumWithout(~0u, covered, kSuperblockChecksumOffset));
}

uint64_t CommitTimeOf(ConstBytes commit) {
  // Nanoseconds are below 2^30: seconds stand above them.
  return (LoadBe<uint64_t>(commit, 48) << 30) | (LoadBe<uint32_t>(commit, 56) & 0x3fffffff);
}

}  // namespace mica::guest
