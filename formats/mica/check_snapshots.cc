// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/check_snapshots.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "engine/digest.h"
#include "formats/mica/map_reader.h"
#include "formats/mica/snapshot_io.h"

namespace mica::native {

namespace {

uint64_t Mix(uint64_t kind, uint64_t number, uint64_t more) noexcept {
  const std::array<uint64_t, 3> all = {kind, number, more};
  return XXH3_64bits(all.data(), sizeof all);
}

class Checker {
 public:
  explicit Checker(SnapshotCheck check) : check_(check) {}

  Async<void> Run() {
    BlockFile& file = *check_.image.file;
    const Result<StoredSnapshotTable> stored =
        co_await ReadSnapshotTable(file, check_.image.superblock);
    if (!stored) co_return Damage(stored.error());
    for (const Slot slot : stored->slots) Use(slot, Mix(4, slot, 0), "the snapshot table");
    for (const SnapshotRecord& record : stored->table.records) {
      name_ = fmt::format("snapshot '{}'", record.name);
      size_ = record.virtual_size;
      Use(record.roots_slot, Mix(5, record.id, 0), name_);
      const Result<Superblock> view =
          co_await SuperblockOfSnapshot(file, check_.image.superblock, record);
      if (!view) {
        CO_TRY(Damage(view.error()));
        continue;
      }
      CO_TRY(co_await Roots(view->roots));
    }
    co_return Result<void>();
  }

 private:
  // Damage is a finding; any other error ends the check.
  Result<void> Damage(const Error& error) {
    if (error.code != Errc::kCorrupt) return error;
    const std::string what = name_.empty() ? error.message : name_ + ": " + error.message;
    check_.report.AddCorruption(what, std::nullopt);
    return {};
  }

  // Whether this is the first user.
  bool Use(Slot slot, uint64_t user, std::string_view who) {
    if (slot >= check_.file_slots) {
      check_.report.AddCorruption(fmt::format("{} uses slot {}, but the file ends at slot {}", who,
                                              slot, check_.file_slots),
                                  std::nullopt);
      return false;
    }
    const SlotUses::Outcome outcome = check_.uses.Use(slot, user);
    if (outcome == SlotUses::Outcome::kTwice) {
      check_.report.AddCorruption(fmt::format("slot {} (file offset {}) is used twice, also by {}",
                                              slot, SlotOffset(slot), who),
                                  std::nullopt);
    }
    return outcome == SlotUses::Outcome::kFirst;
  }
  void UseRun(SlotRun run, uint64_t user) {
    for (uint64_t slot = run.first; slot < run.end(); ++slot) {
      Use(static_cast<Slot>(slot), user, name_);
    }
  }

  Async<void> Roots(RootPointers roots) {
    for (uint32_t i = 0; i < kRootsMax; ++i) {
      if (roots[i].slot == 0 || !walked_.insert(roots[i].slot).second) continue;
      UseRun(SlotRun{roots[i].slot, 1}, SlotUses::OfRoot(i));
      const Result<RootBlock> root = co_await ReadRootBlock(*check_.image.file, roots[i], i);
      if (!root) {
        CO_TRY(Damage(root.error()));
        continue;
      }
      for (uint32_t k = 0; k < kRegionsPerRoot; ++k) {
        const RegionPointer& pointer = (*root)[k];
        if (pointer.slot == 0 || !walked_.insert(pointer.slot).second) continue;
        CO_TRY(co_await Region(pointer, i * kRegionsPerRoot + k));
      }
    }
    co_return Result<void>();
  }

  Async<void> Region(RegionPointer pointer, uint32_t index) {
    BlockFile& file = *check_.image.file;
    const uint64_t tag = check_.image.superblock.Tag();
    const Result<StoredRegion> region = co_await ReadRegion(file, pointer, tag, index);
    if (!region) co_return Damage(region.error());
    const uint64_t user = SlotUses::OfRegion(index);
    for (const SlotRun& run : region->runs) UseRun(run, user);
    for (const RegionItem& item : region->content.items) {
      std::shared_ptr<const mica::native::Leaf> leaf = item.leaf;
      const uint64_t number = uint64_t{index} * kLeavesPerRegion + item.leaf_index;
      if (leaf == nullptr) {
        if (!walked_.insert(item.dense.first).second) continue;
        UseRun(SlotRun{item.dense.first, 1}, user);
        UseRun(SlotRun{item.dense.second, 1}, user);
        Result<std::shared_ptr<mica::native::Leaf>> read =
            co_await ReadDenseLeaf(file, item.dense, number);
        if (!read) {
          CO_TRY(Damage(read.error()));
          continue;
        }
        leaf = *std::move(read);
      }
      CO_TRY(co_await Leaf(number * kBlocksPerLeaf, *leaf));
    }
    co_return Result<void>();
  }

  Async<void> Leaf(uint64_t first_block, const mica::native::Leaf& leaf) {
    for (uint32_t i = 0; i < kBlocksPerLeaf; ++i) {
      const LeafEntry entry = leaf.Get(i);
      if (!IsPlace(entry.slot)) continue;
      const uint64_t block = first_block + i;
      const std::string who = fmt::format("{}, guest offset {}", name_, block * kSlotBytes);
      if (!Use(entry.slot, SlotUses::OfBlock(block, entry.digest), who)) continue;
      ++check_.report.blocks_checked;
      if (check_.scope == CheckScope::kMetadataAndData) CO_TRY(co_await Block(block, entry));
    }
    co_return Result<void>();
  }

  Async<void> Block(uint64_t block, LeafEntry entry) {
    const uint64_t begin = block * kSlotBytes;
    const uint64_t end = std::min(begin + kSlotBytes, size_);
    if (begin >= end) co_return Result<void>();
    AlignedBuffer data(end - begin);
    CO_TRY(co_await check_.image.file->Read(SlotOffset(entry.slot), data.span()));
    if (DigestBlock(data.span()) == entry.digest) co_return Result<void>();
    check_.report.AddCorruption(
        fmt::format("{}: the block at guest offset {}, file offset {} does not match its checksum",
                    name_, begin, SlotOffset(entry.slot)),
        std::nullopt);
    co_return Result<void>();
  }

  SnapshotCheck check_;
  std::string name_;
  uint64_t size_ = 0;
  std::unordered_set<Slot> walked_;  // first slots of parts of the snapshots' maps
};

}  // namespace

SlotUses::Outcome SlotUses::Use(Slot slot, uint64_t user) {
  const auto hashed = static_cast<uint32_t>(user);
  const bool first = !used_.Test(slot);
  if (first) used_.Set(slot);
  if (!shared_) return first ? Outcome::kFirst : Outcome::kTwice;
  if (slot >= users_.size()) users_.resize(std::max<size_t>(slot + size_t{1}, users_.size() * 2));
  if (!first) return users_[slot] == hashed ? Outcome::kShared : Outcome::kTwice;
  users_[slot] = hashed;
  return Outcome::kFirst;
}

uint64_t SlotUses::OfBlock(uint64_t block, BlockDigest digest) noexcept {
  return Mix(1, block, digest);
}

uint64_t SlotUses::OfRegion(uint64_t region_index) noexcept {
  return Mix(2, region_index, 0);
}

uint64_t SlotUses::OfRoot(uint64_t root_index) noexcept {
  return Mix(3, root_index, 0);
}

Async<void> CheckSnapshots(SnapshotCheck check) {
  Checker checker(check);
  co_return co_await checker.Run();
}

}  // namespace mica::native
