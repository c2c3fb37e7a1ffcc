// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/log_page.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "engine/base/checked_math.h"

namespace mica::native {

namespace {

constexpr uint32_t kPageMagic = 0x474f4c4d;  // "MLOG"
constexpr size_t kPayloadOffset = 64;
constexpr size_t kHashOffset = kSlotBytes - 8;
constexpr size_t kPayloadBytes = kHashOffset - kPayloadOffset;
constexpr size_t kRecordBytes = 16;
constexpr size_t kDigestBytes = 8;
constexpr uint64_t kBlockBits = 56;
constexpr uint64_t kBlockMask = (uint64_t{1} << kBlockBits) - 1;

// Fills one page after another with pieces of records.
class PageFiller {
 public:
  PageFiller(LogPageHeader header, uint64_t pages_max)
      : header_(header), buffer_(pages_max * kSlotBytes) {
    FillZero(buffer_.span());
  }

  void Add(const RecordBatch& batch, LogRecord record) {
    while (record.block_count > 0) {
      const bool data = record.kind == RecordKind::kData;
      if (used_ + kRecordBytes + (data ? kDigestBytes : 0) > kPayloadBytes) FinishPage();
      const size_t room = (kPayloadBytes - used_ - kRecordBytes) / kDigestBytes;
      const uint32_t count = data
                                 ? static_cast<uint32_t>(std::min<size_t>(record.block_count, room))
                                 : record.block_count;
      AddPiece(batch, record, count);
      record.first_block += count;
      record.block_count -= count;
      if (data) record.first_slot += count;
      if (data) record.first_digest += count;
    }
  }

  // Writes header and hash of the page being filled and starts the next.
  void FinishPage() {
    const Bytes page = Page();
    StoreLe<uint32_t>(page, 0, kPageMagic);
    StoreLe<uint16_t>(page, 4, records_);
    StoreLe<uint16_t>(page, 6, static_cast<uint16_t>(used_));
    StoreLe<uint64_t>(page, 8, header_.tag);
    StoreLe<uint64_t>(page, 16, header_.sequence);
    StoreLe<uint64_t>(page, 24, header_.previous_hash);
    StoreLe<uint64_t>(page, 32, header_.durable_sequence);
    StoreLe<uint32_t>(page, 40, header_.epoch);
    const uint64_t hash = XXH3_64bits(page.data(), kHashOffset);
    StoreLe<uint64_t>(page, kHashOffset, hash);
    header_.previous_hash = hash;
    ++header_.sequence;
    ++pages_;
    used_ = 0;
    records_ = 0;
  }

  [[nodiscard]] uint64_t last_hash() const noexcept { return header_.previous_hash; }

  AlignedBuffer Take() {
    AlignedBuffer exact(pages_ * kSlotBytes);
    std::ranges::copy(buffer_.span().first(exact.size()), exact.data());
    return exact;
  }

 private:
  Bytes Page() { return buffer_.span().subspan(pages_ * kSlotBytes, kSlotBytes); }

  void AddPiece(const RecordBatch& batch, const LogRecord& record, uint32_t count) {
    const Bytes payload = Page().subspan(kPayloadOffset, kPayloadBytes);
    StoreLe<uint64_t>(
        payload, used_,
        uint64_t{static_cast<uint8_t>(record.kind)} << kBlockBits | record.first_block);
    StoreLe<uint32_t>(payload, used_ + 8, count);
    StoreLe<uint32_t>(payload, used_ + 12, record.first_slot);
    used_ += kRecordBytes;
    ++records_;
    if (record.kind != RecordKind::kData) return;
    for (uint32_t i = 0; i < count; ++i) {
      StoreLe<uint64_t>(payload, used_, batch.digests[record.first_digest + i]);
      used_ += kDigestBytes;
    }
  }

  LogPageHeader header_;
  AlignedBuffer buffer_;
  uint64_t pages_ = 0;  // finished
  size_t used_ = 0;     // payload bytes of the page being filled
  uint16_t records_ = 0;
};

// One record and the payload bytes it takes.
Result<size_t> DecodeRecord(ConstBytes payload, uint64_t block_count, RecordBatch& batch) {
  const Error bad{Errc::kCorrupt, "log page: an impossible record"};
  if (payload.size() < kRecordBytes) return bad;
  const uint64_t kind_and_block = LoadLe<uint64_t>(payload, 0);
  LogRecord record;
  record.kind = static_cast<RecordKind>(kind_and_block >> kBlockBits);
  record.first_block = kind_and_block & kBlockMask;
  record.block_count = LoadLe<uint32_t>(payload, 8);
  record.first_slot = LoadLe<uint32_t>(payload, 12);
  if (record.kind < RecordKind::kData || record.kind > RecordKind::kSameAsParent) return bad;
  if (record.block_count == 0) return bad;
  if (!FitsInside({record.first_block, record.block_count}, block_count)) return bad;
  size_t size = kRecordBytes;
  if (record.kind == RecordKind::kData) {
    if (!IsPlace(SlotRun{record.first_slot, record.block_count})) return bad;
    if ((payload.size() - size) / kDigestBytes < record.block_count) return bad;
    record.first_digest = static_cast<uint32_t>(batch.digests.size());
    for (uint32_t i = 0; i < record.block_count; ++i, size += kDigestBytes) {
      batch.digests.push_back(LoadLe<uint64_t>(payload, size));
    }
  }
  batch.records.push_back(record);
  return size;
}

}  // namespace

void RecordBatch::AddData(uint64_t first_block, Slot first_slot,
                          std::span<const BlockDigest> block_digests) {
  const uint32_t count = static_cast<uint32_t>(block_digests.size());
  LogRecord* const last = records.empty() ? nullptr : &records.back();
  if (last != nullptr && last->kind == RecordKind::kData &&
      last->first_block + last->block_count == first_block &&
      uint64_t{last->first_slot} + last->block_count == first_slot) {
    last->block_count += count;
  } else {
    LogRecord record;
    record.first_block = first_block;
    record.block_count = count;
    record.first_slot = first_slot;
    record.first_digest = static_cast<uint32_t>(digests.size());
    records.push_back(record);
  }
  digests.insert(digests.end(), block_digests.begin(), block_digests.end());
}

void RecordBatch::AddState(RecordKind kind, uint64_t first_block, uint64_t block_count) {
  constexpr uint32_t kCountMax = uint32_t{1} << 31;
  LogRecord* const last = records.empty() ? nullptr : &records.back();
  if (last != nullptr && last->kind == kind &&
      last->first_block + last->block_count == first_block &&
      last->block_count + block_count <= kCountMax) {
    last->block_count += static_cast<uint32_t>(block_count);
    return;
  }
  while (block_count > 0) {
    LogRecord record;
    record.kind = kind;
    record.first_block = first_block;
    record.block_count = static_cast<uint32_t>(std::min<uint64_t>(block_count, kCountMax));
    records.push_back(record);
    first_block += record.block_count;
    block_count -= record.block_count;
  }
}

void RecordBatch::Append(const RecordBatch& later) {
  const uint32_t offset = static_cast<uint32_t>(digests.size());
  for (LogRecord record : later.records) {
    if (record.kind == RecordKind::kData) record.first_digest += offset;
    records.push_back(record);
  }
  digests.insert(digests.end(), later.digests.begin(), later.digests.end());
}

void RecordBatch::Clear() {
  records.clear();
  digests.clear();
}

uint64_t RecordBatch::PagesMax() const noexcept {
  // A page may waste less than one record with one digest at its end, and repeats the header of a
  // record that began on the page before.
  constexpr size_t kSpare = 2 * kRecordBytes + kDigestBytes;
  const uint64_t bytes = records.size() * kRecordBytes + digests.size() * kDigestBytes;
  return bytes / (kPayloadBytes - kSpare) + 1;
}

AlignedBuffer EncodeLogPages(const RecordBatch& batch, LogPageHeader first, uint64_t& last_hash) {
  PageFiller filler(first, batch.PagesMax() + 1);
  for (const LogRecord& record : batch.records) filler.Add(batch, record);
  filler.FinishPage();
  last_hash = filler.last_hash();
  return filler.Take();
}

Result<LogPage> DecodeLogPage(ConstBytes page, uint64_t block_count) {
  if (page.size() < kSlotBytes || LoadLe<uint32_t>(page, 0) != kPageMagic) {
    return Error{Errc::kCorrupt, "log page: the magic is missing"};
  }
  LogPage decoded;
  decoded.hash = LoadLe<uint64_t>(page, kHashOffset);
  if (decoded.hash != XXH3_64bits(page.data(), kHashOffset)) {
    return Error{Errc::kCorrupt, "log page: the checksum does not match"};
  }
  const uint16_t records = LoadLe<uint16_t>(page, 4);
  const uint16_t payload_bytes = LoadLe<uint16_t>(page, 6);
  decoded.header.tag = LoadLe<uint64_t>(page, 8);
  decoded.header.sequence = LoadLe<uint64_t>(page, 16);
  decoded.header.previous_hash = LoadLe<uint64_t>(page, 24);
  decoded.header.durable_sequence = LoadLe<uint64_t>(page, 32);
  decoded.header.epoch = LoadLe<uint32_t>(page, 40);
  if (payload_bytes > kPayloadBytes) {
    return Error{Errc::kCorrupt, "log page: the payload is longer than the page"};
  }
  ConstBytes payload = page.subspan(kPayloadOffset, payload_bytes);
  for (uint16_t i = 0; i < records; ++i) {
    ASSIGN(const size_t size, DecodeRecord(payload, block_count, decoded.batch));
    payload = payload.subspan(size);
  }
  if (!payload.empty()) {
    return Error{Errc::kCorrupt, "log page: bytes left over after the last record"};
  }
  return decoded;
}

}  // namespace mica::native
