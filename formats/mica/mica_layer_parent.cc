// SPDX-License-Identifier: Apache-2.0
// MicaLayer: what ties it to its parent.
#include <fmt/format.h>

#include <algorithm>

#include "formats/mica/mica_layer.h"

namespace mica::native {

namespace {

class ParentSwitch final : public SuperblockChange {
 public:
  ParentSwitch(std::optional<ParentReference> parent, uint64_t shown_bytes)
      : parent_(std::move(parent)), shown_bytes_(shown_bytes) {}
  Async<void> Apply(Superblock& next) override {
    next.parent = parent_;
    next.parent_bytes = shown_bytes_;
    co_return Result<void>();
  }

 private:
  const std::optional<ParentReference> parent_;
  const uint64_t shown_bytes_;
};

}  // namespace

Async<void> MicaLayer::MarkSameAsParent(ByteRange range) {
  CO_TRY(CheckWritable());
  const uint64_t end = DivideRoundUp(range.end(), kSlotBytes);
  for (uint64_t block = range.offset / kSlotBytes; block < end;) {
    Result<BlockMap::Found> found = co_await image_.map.Find(block);
    if (!found) co_return std::move(found).error().WithContext(info_.path);
    if (found->kind == BlockMap::Found::Kind::kAbsent) {
      block = found->end_block;  // the parent shows through already
      continue;
    }
    const uint64_t next = std::min(end, (block / kBlocksPerLeaf + 1) * kBlocksPerLeaf);
    CO_TRY(co_await ReadyLeaf(block, next));
    MarkLeaf(block, next);
    UnpinAll(block, next);
    block = next;
    co_await image_.loop.Yield();
  }
  open_->Tend();
  co_return Result<void>();
}

// The blocks are in one leaf, which is loaded.
void MicaLayer::MarkLeaf(uint64_t first_block, uint64_t end_block) {
  const auto begin = static_cast<uint32_t>(first_block % kBlocksPerLeaf);
  const auto end = begin + static_cast<uint32_t>(end_block - first_block);
  const uint64_t leaf_start = first_block - begin;
  image_.map.Change(first_block, [&](Leaf& leaf) {
    std::vector<std::pair<uint32_t, LeafEntry>> marked;
    leaf.ForEach([&](uint32_t index, const LeafEntry& old) {
      if (index < begin || index >= end || old.slot == kSlotSameAsParent) return;
      ParkIfUnkept(old);
      marked.emplace_back(index, LeafEntry{kSlotSameAsParent, old.epoch, 0});
    });
    const bool uniform =
        marked.size() == kBlocksPerLeaf && std::ranges::all_of(marked, [&](const auto& item) {
          return item.second.epoch == marked.front().second.epoch;
        });
    if (uniform) leaf.SetRange(0, kBlocksPerLeaf, marked.front().second);
    for (const auto& [index, entry] : marked) {
      if (!uniform) leaf.Set(index, entry);
      image_.pending.AddState(RecordKind::kSameAsParent, leaf_start + index, 1);
    }
  });
}

Async<void> MicaLayer::RecordZero(ByteRange range) {
  CO_TRY(CheckWritable());
  const uint64_t end = DivideRoundUp(range.end(), kSlotBytes);
  for (uint64_t block = range.offset / kSlotBytes; block < end;) {
    const uint64_t next = std::min(end, (block / kBlocksPerLeaf + 1) * kBlocksPerLeaf);
    CO_TRY(co_await ReadyLeaf(block, next));
    const auto begin = static_cast<uint32_t>(block % kBlocksPerLeaf);
    image_.map.Change(block, [&](Leaf& leaf) {
      leaf.ForEach([&](uint32_t index, const LeafEntry& old) {
        MICA_CHECK(index < begin || index >= begin + (next - block) || !IsPlace(old.slot));
      });
      LeafEntry zero;  // of epoch 0: the content does not change
      zero.slot = kSlotZero;
      leaf.SetRange(begin, begin + static_cast<uint32_t>(next - block), zero);
    });
    image_.pending.AddState(RecordKind::kZero, block, next - block);
    UnpinAll(block, next);
    block = next;
    co_await image_.loop.Yield();
  }
  open_->Tend();
  co_return Result<void>();
}

Result<void> MicaLayer::CheckSwitch() const {
  const uint32_t snapshots = image_.superblock.snapshot_table.snapshots;
  if (snapshots == 0) return {};
  return Error{
      Errc::kUnsupported,
      fmt::format("{}: it has {} snapshots, which stand on the parent as well; delete them "
                  "first with `mica snapshot -d`, or make a copy without them with `mica "
                  "convert`",
                  info_.path, snapshots)};
}

Async<void> MicaLayer::SwitchParent(std::optional<ParentReference> parent, uint64_t shown_bytes) {
  CO_TRY(CheckWritable());
  CO_TRY(CheckSwitch());
  if (parent) CO_TRY(CheckParent(*parent));
  // What was cut off and came back reads zero where the map says nothing, and goes on doing so.
  if (info_.parent) shown_bytes = std::min(shown_bytes, image_.superblock.parent_bytes);
  ParentSwitch change(parent, parent ? shown_bytes : 0);
  CO_TRY(co_await open_->committer.CheckpointWith(change));
  info_.parent = image_.superblock.parent;
  co_return Result<void>();
}

}  // namespace mica::native
