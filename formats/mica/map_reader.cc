// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/map_reader.h"

#include <fmt/format.h>

#include <algorithm>

namespace mica::native {

namespace {

Error Damaged(std::string_view part, uint64_t number, Slot slot, std::string_view why) {
  return {Errc::kCorrupt, fmt::format("the map is damaged: {} {} at slot {} (file offset {}): {}",
                                      part, number, slot, SlotOffset(slot), why)};
}

constexpr std::string_view kWrongHash = "the content does not match its checksum";

Async<AlignedBuffer> ReadRegionBytes(BlockFile& file, RegionPointer pointer,
                                     std::vector<SlotRun>& runs) {
  const size_t first_bytes = size_t{pointer.slots} * kSlotBytes;
  AlignedBuffer first(first_bytes);
  CO_TRY(co_await file.Read(SlotOffset(pointer.slot), first.span()));
  CO_ASSIGN(const std::vector<SlotRun> more, DecodeRegionRuns(first.span(), pointer.slots));
  runs.push_back(SlotRun{pointer.slot, pointer.slots});
  runs.insert(runs.end(), more.begin(), more.end());
  AlignedBuffer whole(CountSlots(runs) * kSlotBytes);
  std::ranges::copy(first.span(), whole.data());
  size_t at = first_bytes;
  for (const SlotRun& run : more) {
    const size_t run_bytes = size_t{run.count} * kSlotBytes;
    CO_TRY(co_await file.Read(SlotOffset(run.first), whole.span().subspan(at, run_bytes)));
    at += run_bytes;
  }
  if (HashOf(whole.span()) != pointer.hash) {
    co_return Error{Errc::kCorrupt, std::string(kWrongHash)};
  }
  co_return whole;
}

}  // namespace

Async<RootBlock> ReadRootBlock(BlockFile& file, RootPointer pointer, uint32_t root_index) {
  AlignedBuffer block(kSlotBytes);
  CO_TRY(co_await file.Read(SlotOffset(pointer.slot), block.span()));
  if (HashOf(block.span()) != pointer.hash) {
    co_return Damaged("root block", root_index, pointer.slot, kWrongHash);
  }
  co_return DecodeRootBlock(block.span());
}

Async<StoredRegion> ReadRegion(BlockFile& file, RegionPointer pointer, uint64_t tag,
                               uint32_t region_index) {
  StoredRegion region;
  const Result<AlignedBuffer> bytes = co_await ReadRegionBytes(file, pointer, region.runs);
  if (!bytes) {
    if (bytes.error().code != Errc::kCorrupt) co_return bytes.error();
    co_return Damaged("region", region_index, pointer.slot, bytes.error().message);
  }
  Result<RegionContent> content = DecodeRegion(bytes->span(), tag, region_index);
  if (!content) co_return Damaged("region", region_index, pointer.slot, content.error().message);
  region.content = *std::move(content);
  co_return region;
}

Async<std::shared_ptr<Leaf>> ReadDenseLeaf(BlockFile& file, DensePointer pointer, uint64_t number) {
  AlignedBuffer bytes(kDenseLeafBytes);
  if (pointer.second == pointer.first + 1) {
    CO_TRY(co_await file.Read(SlotOffset(pointer.first), bytes.span()));
  } else {
    CO_TRY(co_await file.Read(SlotOffset(pointer.first), bytes.span().first(kSlotBytes)));
    CO_TRY(co_await file.Read(SlotOffset(pointer.second), bytes.span().subspan(kSlotBytes)));
  }
  if (HashOf(bytes.span()) != pointer.hash) {
    co_return Damaged("leaf", number, pointer.first, kWrongHash);
  }
  Result<std::shared_ptr<Leaf>> leaf = DecodeDenseLeaf(bytes.span());
  if (!leaf) co_return Damaged("leaf", number, pointer.first, leaf.error().message);
  co_return leaf;
}

}  // namespace mica::native
