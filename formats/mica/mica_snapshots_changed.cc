// SPDX-License-Identifier: Apache-2.0
// MicaSnapshots: changed-block tracking. The map knows the epoch of every block's last change; what
// it does not know (blocks that were cut off, states that were gone back from) is in EpochHistory.
#include <fmt/format.h>

#include <algorithm>

#include "formats/mica/mica_snapshots.h"

namespace mica::native {

namespace {

constexpr uint32_t kLeavesPerTurn = 64;

void AppendRange(std::vector<ByteRange>& ranges, ByteRange range) {
  if (range.empty()) return;
  if (!ranges.empty() && ranges.back().end() == range.offset) {
    ranges.back().length += range.length;
  } else {
    ranges.push_back(range);
  }
}

}  // namespace

Result<void> MicaSnapshots::CheckEpoch(uint32_t epoch) const {
  if (epoch > Epoch()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: epoch {} is still to come, the image is at {}; is this the image "
                             "that the epoch was taken of?",
                             info_.path, epoch, Epoch())};
  }
  if (!image_.superblock.history.IsLost(epoch)) return {};
  return Error{
      Errc::kMismatch,
      fmt::format("{}: epoch {} was undone when the image went back to a snapshot, so what "
                  "has changed since is not known; take a full copy",
                  info_.path, epoch)};
}

Async<std::vector<ByteRange>> MicaSnapshots::ChangedSince(uint32_t epoch, ByteRange range) {
  CO_TRY(CheckEpoch(epoch));
  const uint64_t size = image_.superblock.virtual_size;
  range = Intersect(range, ByteRange{0, size});
  const uint64_t same_bytes =
      AlignDown(image_.superblock.history.SmallestSizeSince(epoch, size), kSlotBytes);
  const uint64_t end = DivideRoundUp(std::min(range.end(), same_bytes), kSlotBytes);
  std::vector<ByteRange> changed;
  const auto add = [&](uint64_t block) {
    AppendRange(changed, Intersect(ByteRange{block * kSlotBytes, kSlotBytes}, range));
  };
  uint32_t leaves = 0;
  for (uint64_t block = range.offset / kSlotBytes; block < end;) {
    Result<BlockMap::Found> found = co_await image_.map.Find(block);
    if (!found) co_return std::move(found).error().WithContext(info_.path);
    const uint64_t next = std::min(end, found->end_block);
    for (; found->kind == BlockMap::Found::Kind::kLeaf && block < next; ++block) {
      const LeafEntry entry = found->leaf->Get(static_cast<uint32_t>(block % kBlocksPerLeaf));
      if (entry.slot != kSlotAbsent && entry.epoch > epoch) add(block);
    }
    block = next;
    if (++leaves % kLeavesPerTurn == 0) co_await image_.loop.Yield();
  }
  if (range.end() > same_bytes) {
    AppendRange(changed, RangeBetween(std::max(range.offset, same_bytes), range.end()));
  }
  co_return changed;
}

}  // namespace mica::native
