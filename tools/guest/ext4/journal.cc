// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/journal.h"

#include <fmt/format.h>

#include <unordered_map>

#include "tools/guest/ext4/content.h"
#include "tools/guest/ext4/journal_format.h"
#include "tools/guest/ext4/superblock.h"
#include "tools/guest/ext4/volume.h"

namespace mica::guest {

namespace {

constexpr uint16_t kFastCommitHeadTag = 9;
constexpr size_t kFastCommitTidOffset = 4 + 4;  // tag, length, features

Error Corrupt(std::string_view what) {
  return Error{Errc::kCorrupt, fmt::format("journal: {}", what)};
}

// Sequence numbers wrap.
bool IsBefore(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) < 0;
}

// Reads blocks of the journal's file by their number in it.
class JournalFile {
 public:
  static Result<JournalFile> Open(SyncDevice& device, const Superblock& superblock) {
    if (superblock.journal_inode == 0) {
      return Error{Errc::kUnsupported, "the journal is on another device"};
    }
    Ext4Options options;
    options.dirty_journal = DirtyJournal::kIgnore;
    ASSIGN(const auto volume, Ext4Volume::Open(device, options));
    ASSIGN(const RawInode inode, volume->Inode(superblock.journal_inode));
    JournalFile file(device, superblock.block_bytes);
    ASSIGN(file.map_, MapInode(volume->fs(), volume->io(), inode));
    file.blocks_ = inode.size() / superblock.block_bytes;
    return file;
  }

  [[nodiscard]] uint64_t blocks() const noexcept { return blocks_; }
  [[nodiscard]] uint32_t block_bytes() const noexcept { return block_bytes_; }

  // Bytes on the device of a block of the journal.
  [[nodiscard]] Result<uint64_t> PlaceOf(uint64_t block) const {
    const auto extent = std::ranges::partition_point(
        map_.extents, [&](const FileExtent& candidate) { return candidate.end() <= block; });
    if (extent == map_.extents.end() || extent->logical > block || extent->unwritten) {
      return Corrupt(fmt::format("block {} of it is missing", block));
    }
    return (extent->physical + (block - extent->logical)) * block_bytes_;
  }

  Result<std::vector<std::byte>> Read(uint64_t block) {
    ASSIGN(const uint64_t place, PlaceOf(block));
    std::vector<std::byte> data(block_bytes_);
    TRY(device_->Read(place, data));
    return data;
  }

 private:
  JournalFile(SyncDevice& device, uint32_t block_bytes)
      : device_(&device), block_bytes_(block_bytes) {}

  SyncDevice* device_;
  uint32_t block_bytes_;
  uint64_t blocks_ = 0;
  FileMap map_;
};

// The three walks over the log that jbd2 makes too: find its end, collect what is revoked, write.
class Replayer {
 public:
  Replayer(SyncDevice& device, JournalFile& file, const JournalFormat& format, uint64_t fs_blocks)
      : device_(device),
        file_(file),
        format_(format),
        fs_blocks_(fs_blocks),
        end_sequence_(format.sequence) {}

  Result<JournalReplay> Run() {
    TRY(Scan());
    TRY(RefuseFastCommits());
    TRY(Walk(&Replayer::CollectRevoked));
    TRY(Walk(&Replayer::WriteBlocks));
    replay_.transactions = end_sequence_ - format_.sequence;
    return replay_;
  }

  [[nodiscard]] uint32_t end_sequence() const noexcept { return end_sequence_; }

 private:
  // A block of the log that is not data, and where its data starts.
  struct Record {
    std::vector<std::byte> block;
    JournalHeader header;
    uint32_t data = 0;
  };
  using Visitor = Result<void> (Replayer::*)(const Record&);

  // Advances over a record and its data; counts blocks, so that a log that bites its tail ends.
  Result<void> Advance(const Record& record, uint32_t& at) {
    at = record.data;
    uint64_t blocks = 1;
    if (record.header.type == JournalBlockType::kDescriptor) {
      ASSIGN(const std::vector<JournalTag> tags, format_.ParseTags(record.block));
      for (size_t i = 0; i < tags.size(); ++i) at = format_.Next(at);
      blocks += tags.size();
    }
    walked_ += blocks;
    if (walked_ > format_.end - format_.first) return Corrupt("the log has no end");
    return {};
  }

  Result<std::optional<Record>> RecordAt(uint32_t at, uint32_t sequence) {
    Record record;
    ASSIGN(record.block, file_.Read(at));
    const auto header = ParseJournalHeader(record.block);
    if (!header || header->sequence != sequence) return std::optional<Record>();
    record.header = *header;
    record.data = format_.Next(at);
    return std::optional<Record>(std::move(record));
  }

  // Finds end_sequence_: the first transaction without a commit block. What lies behind it may be
  // stale: a bad checksum there is no damage unless a newer commit follows.
  Result<void> Scan() {
    walked_ = 0;
    uint32_t at = format_.start;
    uint64_t last_commit_time = 0;
    bool suspicious = false;
    while (true) {
      ASSIGN(const auto record, RecordAt(at, end_sequence_));
      if (!record) return {};
      switch (record->header.type) {
        case JournalBlockType::kDescriptor:
        case JournalBlockType::kRevoke:
          suspicious = suspicious || !format_.TailMatches(record->block);
          break;
        case JournalBlockType::kCommit: {
          const uint64_t time = CommitTimeOf(record->block);
          if (suspicious || !format_.CommitMatches(record->block)) {
            if (time < last_commit_time) return {};
            return Corrupt(fmt::format("transaction {} fails its checksum", end_sequence_));
          }
          last_commit_time = time;
          ++end_sequence_;
          break;
        }
        default:
          return {};
      }
      const Result<void> advanced = Advance(*record, at);
      // A malformed descriptor of a transaction that was never committed is nothing.
      if (!advanced) return suspicious ? Result<void>() : advanced;
    }
  }

  // Visits every record of the complete transactions.
  Result<void> Walk(Visitor visit) {
    walked_ = 0;
    uint32_t at = format_.start;
    for (uint32_t sequence = format_.sequence; IsBefore(sequence, end_sequence_);) {
      ASSIGN(const auto record, RecordAt(at, sequence));
      if (!record) return Corrupt("the log changed while it was read");
      TRY((this->*visit)(*record));
      if (record->header.type == JournalBlockType::kCommit) ++sequence;
      TRY(Advance(*record, at));
    }
    return {};
  }

  Result<void> CollectRevoked(const Record& record) {
    if (record.header.type != JournalBlockType::kRevoke) return {};
    ASSIGN(const std::vector<uint64_t> revoked, format_.ParseRevoked(record.block));
    for (const uint64_t block : revoked) {
      const auto [known, is_new] = revoked_.emplace(block, record.header.sequence);
      if (!is_new && IsBefore(known->second, record.header.sequence))
        known->second = record.header.sequence;
    }
    return {};
  }

  [[nodiscard]] bool IsRevoked(uint64_t block, uint32_t sequence) const {
    const auto found = revoked_.find(block);
    return found != revoked_.end() && !IsBefore(found->second, sequence);
  }

  Result<void> WriteBlocks(const Record& record) {
    if (record.header.type != JournalBlockType::kDescriptor) return {};
    ASSIGN(const std::vector<JournalTag> tags, format_.ParseTags(record.block));
    uint32_t at = record.data;
    for (const JournalTag& tag : tags) {
      TRY(WriteBlock(tag, at, record.header.sequence));
      at = format_.Next(at);
    }
    return {};
  }

  Result<void> WriteBlock(const JournalTag& tag, uint32_t at, uint32_t sequence) {
    if (IsRevoked(tag.block, sequence)) {
      ++replay_.blocks_revoked;
      return {};
    }
    if (tag.block >= fs_blocks_) {
      return Corrupt(
          fmt::format("it holds block {} of a file system with {}", tag.block, fs_blocks_));
    }
    ASSIGN(std::vector<std::byte> data, file_.Read(at));
    if (!format_.DataMatches(data, tag, sequence)) {
      return Corrupt(fmt::format("the copy of block {} fails its checksum", tag.block));
    }
    if (tag.escaped) StoreBe(Bytes(data), 0, kJournalMagic);
    TRY(device_.Write(tag.block * file_.block_bytes(), data));
    ++replay_.blocks_written;
    return {};
  }

  // A fast commit continues exactly the last transaction; anything else in its area is stale.
  Result<void> RefuseFastCommits() {
    if (format_.fast_commit_blocks == 0) return {};
    ASSIGN(const std::vector<std::byte> block, file_.Read(format_.end));
    if (LoadLe<uint16_t>(block, 0) != kFastCommitHeadTag ||
        LoadLe<uint32_t>(block, kFastCommitTidOffset) != end_sequence_) {
      return {};
    }
    return Error{
        Errc::kUnsupported,
        "the journal holds fast commits, which are not replayed here; mount the disk once in the "
        "guest, or run e2fsck -p on it"};
  }

  static constexpr uint32_t kJournalMagic = 0xc03b3998;

  SyncDevice& device_;
  JournalFile& file_;
  const JournalFormat& format_;
  uint64_t fs_blocks_;
  uint32_t end_sequence_;
  uint64_t walked_ = 0;
  std::unordered_map<uint64_t, uint32_t> revoked_;  // block -> last transaction that revoked it
  JournalReplay replay_;
};

}  // namespace

Result<JournalReplay> ReplayJournal(SyncDevice& device) {
  ASSIGN(const Superblock superblock, Superblock::Read(device));
  if (!superblock.needs_recovery) return JournalReplay();
  ASSIGN(JournalFile file, JournalFile::Open(device, superblock));
  ASSIGN(std::vector<std::byte> block, file.Read(0));
  ASSIGN(const JournalFormat format, JournalFormat::Parse(block, file.blocks()));
  Replayer replayer(device, file, format, superblock.blocks);
  JournalReplay replay;
  if (format.start != 0) {
    ASSIGN(replay, replayer.Run());
  }
  format.MarkEmpty(block, replayer.end_sequence() + 1);
  ASSIGN(const uint64_t place, file.PlaceOf(0));
  TRY(device.Write(place, block));
  TRY(Superblock::ClearNeedsRecovery(device));
  return replay;
}

}  // namespace mica::guest
