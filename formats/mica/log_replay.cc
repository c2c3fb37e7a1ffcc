// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/log_replay.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/digest.h"

namespace mica::native {

namespace {

struct FoundLog {
  std::vector<LogPage> chain;  // from the tail to the first gap
  uint64_t durable_sequence = 0;
  uint64_t pages_seen = 0;
  uint64_t highest_sequence = 0;
  std::optional<Error> damage;
};

constexpr uint64_t kReadPages = 256;  // 1 MiB at a time

// All pages of the ring that belong to this log, by their place in the ring.
Async<std::vector<std::optional<LogPage>>> ReadRing(Image& image) {
  const SlotRun ring = image.log.slots();
  const uint64_t tag = image.superblock.Tag();
  const uint64_t block_count = image.superblock.BlockCount();
  std::vector<std::optional<LogPage>> pages(ring.count);
  AlignedBuffer buffer(kReadPages * kSlotBytes);
  for (uint64_t first = 0; first < ring.count; first += kReadPages) {
    const uint64_t count = std::min<uint64_t>(kReadPages, ring.count - first);
    const Bytes part = buffer.span().first(count * kSlotBytes);
    CO_TRY(co_await image.file->Read(SlotOffset(ring.first) + first * kSlotBytes, part));
    for (uint64_t i = 0; i < count; ++i) {
      Result<LogPage> page = DecodeLogPage(part.subspan(i * kSlotBytes, kSlotBytes), block_count);
      if (!page || page->header.tag != tag) continue;
      if (page->header.sequence < image.log.tail().sequence) continue;
      pages[first + i] = *std::move(page);
    }
  }
  co_return pages;
}

FoundLog FollowChain(const Image& image, std::vector<std::optional<LogPage>> pages) {
  FoundLog found;
  found.durable_sequence = image.log.tail().sequence - 1;
  uint64_t claimed_durable = found.durable_sequence;  // by any page, in the chain or not
  for (const std::optional<LogPage>& page : pages) {
    if (!page) continue;
    ++found.pages_seen;
    found.highest_sequence = std::max(found.highest_sequence, page->header.sequence);
    claimed_durable = std::max(claimed_durable, page->header.durable_sequence);
  }
  LogPosition at = image.log.tail();
  while (found.chain.size() < pages.size()) {
    std::optional<LogPage>& page = pages[at.index];
    if (!page || page->header.sequence != at.sequence ||
        page->header.previous_hash != at.previous_hash) {
      break;
    }
    at.sequence += 1;
    at.index = static_cast<uint32_t>((at.index + 1) % pages.size());
    at.previous_hash = page->hash;
    found.durable_sequence = std::max(found.durable_sequence, page->header.durable_sequence);
    found.chain.push_back(*std::move(page));
  }
  if (claimed_durable >= at.sequence) {
    found.damage =
        Error{Errc::kCorrupt,
              fmt::format("the log is damaged: page {} at file offset {} had reached the disk "
                          "(later pages say so) and cannot be read any more; changes flushed "
                          "since are lost with it",
                          at.sequence,
                          SlotOffset(image.log.slots().first) + uint64_t{at.index} * kSlotBytes)};
  }
  return found;
}

class Replayer {
 public:
  Replayer(Image& image, ReplayMode mode, ReplayOutcome& outcome)
      : image_(image), mode_(mode), outcome_(outcome), high_water_(image.slots.high_water()) {}

  Async<void> Page(const LogPage& page, bool confirmed) {
    for (const LogRecord& record : page.batch.records) {
      if (record.kind == RecordKind::kData) {
        CO_TRY(co_await Data(page, record, confirmed));
      } else {
        CO_TRY(co_await State(record, page.header.epoch));
      }
    }
    co_return Result<void>();
  }

  [[nodiscard]] Slot high_water() const noexcept { return high_water_; }

 private:
  Async<void> Data(const LogPage& page, const LogRecord& record, bool confirmed) {
    const std::span<const BlockDigest> digests =
        std::span(page.batch.digests).subspan(record.first_digest, record.block_count);
    high_water_ = std::max<Slot>(high_water_, record.first_slot + record.block_count);
    std::vector<bool> good(record.block_count, true);
    if (!confirmed) CO_TRY(co_await Verify(record, digests, good));
    for (uint32_t i = 0; i < record.block_count; ++i) {
      if (!good[i]) continue;
      const uint64_t block = record.first_block + i;
      CO_ASSIGN(const BlockMap::Found found, co_await image_.map.Find(block));
      static_cast<void>(found);
      const LeafEntry entry{record.first_slot + i, page.header.epoch, digests[i]};
      image_.map.Change(block, [block, &entry](Leaf& leaf) {
        leaf.Set(static_cast<uint32_t>(block % kBlocksPerLeaf), entry);
      });
    }
    const auto adopted = static_cast<uint64_t>(std::ranges::count(good, true));
    outcome_.blocks_adopted += adopted;
    outcome_.blocks_rejected += record.block_count - adopted;
    co_return Result<void>();
  }

  // Which blocks of the record hold the data they were meant to hold.
  Async<void> Verify(const LogRecord& record, std::span<const BlockDigest> digests,
                     std::vector<bool>& good) {
    AlignedBuffer data(size_t{record.block_count} * kSlotBytes);
    CO_TRY(co_await image_.file->Read(SlotOffset(record.first_slot), data.span()));
    for (uint32_t i = 0; i < record.block_count; ++i) {
      const uint64_t begin = (record.first_block + i) * kSlotBytes;
      const uint64_t end = std::min(begin + kSlotBytes, image_.superblock.virtual_size);
      const Bytes block = data.span().subspan(size_t{i} * kSlotBytes, end - begin);
      good[i] = DigestBlock(block) == digests[i];
      if (!good[i] || mode_ == ReplayMode::kLook) continue;
      CO_TRY(co_await image_.file->Write(SlotOffset(record.first_slot + i), block));
    }
    co_return Result<void>();
  }

  Async<void> State(const LogRecord& record, uint32_t epoch) {
    LeafEntry entry;
    entry.slot = record.kind == RecordKind::kZero           ? kSlotZero
                 : record.kind == RecordKind::kSameAsParent ? kSlotSameAsParent
                                                            : kSlotAbsent;
    if (entry.slot != kSlotAbsent) entry.epoch = epoch;
    // As when it was published: MicaLayer::Unmap.
    const bool only_present =
        entry.slot == kSlotSameAsParent || (entry.slot == kSlotZero && image_.AbsentIsZero());
    const uint64_t end = record.first_block + record.block_count;
    for (uint64_t block = record.first_block; block < end;) {
      CO_ASSIGN(const BlockMap::Found found, co_await image_.map.Find(block));
      const bool skip = found.kind == BlockMap::Found::Kind::kAbsent &&
                        (only_present || entry.slot == kSlotAbsent);
      const uint64_t leaf_end = (block / kBlocksPerLeaf + 1) * kBlocksPerLeaf;
      const uint64_t next = std::min(end, skip ? found.end_block : leaf_end);
      if (!skip) {
        const auto begin = static_cast<uint32_t>(block % kBlocksPerLeaf);
        const auto length = static_cast<uint32_t>(next - block);
        image_.map.Change(block, [&](Leaf& leaf) {
          if (only_present) {
            leaf.SetPresent(begin, begin + length, entry);
          } else {
            leaf.SetRange(begin, begin + length, entry);
          }
        });
      }
      block = next;
    }
    co_return Result<void>();
  }

  Image& image_;
  const ReplayMode mode_;
  ReplayOutcome& outcome_;
  Slot high_water_;
};

}  // namespace

Async<ReplayOutcome> ReplayLog(Image& image, ReplayMode mode, LogDamage* salvage) {
  CO_ASSIGN(std::vector<std::optional<LogPage>> pages, co_await ReadRing(image));
  const FoundLog found = FollowChain(image, std::move(pages));
  if (found.damage && salvage == nullptr) co_return *found.damage;
  if (salvage != nullptr) salvage->error = found.damage;
  ReplayOutcome outcome;
  outcome.pages_seen = found.pages_seen;
  outcome.next_sequence = std::max(found.highest_sequence + 1, image.log.next().sequence);
  Replayer replayer(image, mode, outcome);
  for (const LogPage& page : found.chain) {
    const bool confirmed = page.header.sequence <= found.durable_sequence;
    CO_TRY(co_await replayer.Page(page, confirmed));
    image.epoch = std::max(image.epoch, page.header.epoch);
  }
  image.slots.RaiseHighWater(replayer.high_water());
  co_return outcome;
}

}  // namespace mica::native
