// SPDX-License-Identifier: Apache-2.0
// MicaSnapshots: the size of the disk.
#include <fmt/format.h>

#include <algorithm>

#include "engine/digest.h"
#include "formats/mica/mica_snapshots.h"

namespace mica::native {

namespace {

// Another size. A smaller one hides what the parent has beyond it for good.
class SizeChange : public SuperblockChange {
 public:
  explicit SizeChange(uint64_t bytes) : bytes_(bytes) {}

  void AfterFreeze(uint32_t epoch) override { epoch_ = epoch; }
  Async<void> Apply(Superblock& next) override {
    next.history.AddResize(epoch_, next.virtual_size);
    next.virtual_size = bytes_;
    next.parent_bytes = std::min(next.parent_bytes, bytes_);
    co_return Result<void>();
  }

 private:
  const uint64_t bytes_;
  uint32_t epoch_ = 0;
};

}  // namespace

// A larger size. When the old one is not whole blocks, the last block's digest covers less than a
// block: it moves to another slot, padded with zeroes, in the moment in which the size changes.
class MicaSnapshots::Growth final : public SizeChange {
 public:
  Growth(Image& image, uint64_t bytes) : SizeChange(bytes), image_(image) {}
  ~Growth() override {
    if (block_) image_.map.Unpin(*block_);
  }

  // The map has the block in memory.
  void MoveBlock(uint64_t block, const LeafEntry& before, const LeafEntry& after) {
    image_.map.Pin(block);
    block_ = block;
    before_ = before;
    after_ = after;
  }

  [[nodiscard]] uint64_t slots_max() const noexcept override {
    return block_ ? image_.map.GrowthMax(*block_, *block_ + 1) : 0;
  }
  void BeforeFreeze() override {
    if (block_) Set(after_);
    moved_ = block_.has_value();
  }
  void Succeeded() {
    if (moved_) image_.slots.Settle(SlotRun{after_.slot, 1});
    if (!moved_ || before_.epoch <= image_.kept_epoch) return;
    image_.reclaimer.Retire({SlotRun{before_.slot, 1}});
  }
  void Failed() {
    if (moved_) Set(before_);
    if (block_ && !image_.poison) image_.slots.Free(SlotRun{after_.slot, 1});
  }

 private:
  void Set(const LeafEntry& entry) {
    const auto index = static_cast<uint32_t>(*block_ % kBlocksPerLeaf);
    image_.map.Change(*block_, [&](Leaf& leaf) { leaf.Set(index, entry); });
  }

  Image& image_;
  std::optional<uint64_t> block_;
  LeafEntry before_;
  LeafEntry after_;
  bool moved_ = false;
};

Result<void> MicaSnapshots::CheckSize(uint64_t bytes) const {
  if (bytes % kSlotBytes != 0) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: expected a size that is a multiple of {}, found {}; try {} or {}",
                             info_.path, kSlotBytes, bytes, AlignDown(bytes, kSlotBytes),
                             AlignUp(bytes, kSlotBytes))};
  }
  if (bytes <= kVirtualSizeMax) return {};
  return Error{Errc::kLimit, fmt::format("{}: {} bytes is more than the {} a mica image can have",
                                         info_.path, bytes, kVirtualSizeMax)};
}

Async<void> MicaSnapshots::Grow(uint64_t bytes) {
  CO_TRY(CheckWritable());
  const AsyncMutex::Lock lock = co_await mutex_.Acquire();
  CO_TRY(CheckSize(bytes));
  const uint64_t bytes_before = image_.superblock.virtual_size;
  if (bytes < bytes_before) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: is larger than {} bytes already: it has {}", info_.path, bytes,
                                bytes_before)};
  }
  if (bytes == bytes_before) co_return Result<void>();
  Growth growth(image_, bytes);
  if (bytes_before % kSlotBytes != 0) CO_TRY(co_await PrepareLastBlock(growth));
  const Result<void> done = co_await open_.committer.CheckpointWith(growth);
  if (!done) {
    growth.Failed();
    co_return done;
  }
  growth.Succeeded();
  image_.map.Grow(image_.superblock.BlockCount());
  info_.virtual_size = bytes;
  open_.Tend();
  co_return Result<void>();
}

Async<void> MicaSnapshots::PrepareLastBlock(Growth& growth) {
  const uint64_t block = image_.superblock.virtual_size / kSlotBytes;
  Result<BlockMap::Found> found = co_await image_.map.Find(block);
  if (!found) co_return std::move(found).error().WithContext(info_.path);
  LeafEntry entry;
  if (found->kind == BlockMap::Found::Kind::kLeaf) {
    entry = found->leaf->Get(static_cast<uint32_t>(block % kBlocksPerLeaf));
  }
  const bool parents = entry.slot == kSlotAbsent || entry.slot == kSlotSameAsParent;
  if (parents && info_.parent && block * kSlotBytes < image_.superblock.parent_bytes) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: the last block, at {}, is short and the parent's; it must be "
                                "written before the disk can grow",
                                info_.path, block * kSlotBytes)};
  }
  if (!IsPlace(entry.slot)) co_return Result<void>();
  AlignedBuffer content(kSlotBytes);
  CO_TRY(co_await ReadLastBlock(entry, content.span()));
  CO_TRY(co_await MakeRoom(1 + image_.map.GrowthMax(block, block + 1)));
  const LeafEntry after{image_.slots.Allocate(1).front().first, entry.epoch,
                        DigestBlock(content.span())};
  growth.MoveBlock(block, entry, after);
  co_return co_await image_.file->Write(SlotOffset(after.slot), content.span());
}

// The short block at the end of the disk, verified, and zeroes after it.
Async<void> MicaSnapshots::ReadLastBlock(const LeafEntry& entry, Bytes block) {
  const size_t length = image_.superblock.virtual_size % kSlotBytes;
  CO_TRY(co_await image_.file->Read(SlotOffset(entry.slot), block.first(length)));
  FillZero(block.subspan(length));
  if (DigestBlock(block.first(length)) == entry.digest) co_return Result<void>();
  co_return Error{Errc::kCorrupt,
                  fmt::format("{}: the last block, at file offset {}, does not match its checksum",
                              info_.path, SlotOffset(entry.slot))};
}

Async<void> MicaSnapshots::Shrink(uint64_t bytes) {
  CO_TRY(CheckWritable());
  const AsyncMutex::Lock lock = co_await mutex_.Acquire();
  CO_TRY(CheckSize(bytes));
  if (bytes >= image_.superblock.virtual_size) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: is not larger than {} bytes: it has {}", info_.path, bytes,
                                image_.superblock.virtual_size)};
  }
  CO_TRY(co_await open_.Quiesce());
  const std::optional<std::array<uint8_t, 16>> no_seal;
  // A write that failed leaves parts of the map that count as changed.
  const bool nothing_due =
      image_.superblock.clean && image_.pending.empty() && image_.map.checkpoint_slots() == 0;
  if (!nothing_due) CO_TRY(co_await open_.committer.CheckpointClean(no_seal, nullptr));
  SizeChange change(bytes);
  Result<void> done = co_await image_.map.Cut(bytes / kSlotBytes);
  if (done) done = co_await open_.committer.CheckpointClean(no_seal, &change);
  image_.superseded = true;
  co_return done;
}

}  // namespace mica::native
