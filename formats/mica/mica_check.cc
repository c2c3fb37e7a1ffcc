// SPDX-License-Identifier: Apache-2.0
// Checking a mica image: every part of the map against its hash, every slot for being used once and
// lying inside the file, and, when asked, every block against its digest. Slots that nothing uses
// are free, not leaked: this format stores no allocation bitmap that could disagree.
#include <fmt/format.h>

#include <algorithm>

#include "engine/digest.h"
#include "formats/mica/check_snapshots.h"
#include "formats/mica/map_walk.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/open_image.h"
#include "formats/mica/packed/packed_check.h"
#include "formats/mica/packed/packed_layer.h"

namespace mica {

namespace native {
namespace {

constexpr uint32_t kRunSlotsMax = 256;  // read 1 MiB at a time
constexpr uint64_t kLogUser = 0;

class Checker {
 public:
  Checker(Image& image, CheckScope scope, CheckReport& report, uint64_t file_slots)
      : image_(image),
        scope_(scope),
        report_(report),
        file_slots_(file_slots),
        uses_(image.superblock.snapshot_table.slot != 0) {}

  Async<void> Run() {
    if (const Slot expected = image_.superblock.high_water; file_slots_ < expected) {
      report_.AddCorruption(fmt::format("the file is truncated: it ends at slot {}, the superblock "
                                        "expects {} slots",
                                        file_slots_, expected),
                            std::nullopt);
    }
    UseMetadata(image_.log.slots(), kLogUser);
    uint64_t last_region = UINT64_MAX;
    for (uint64_t block = 0; block < image_.map.block_count();) {
      const Result<BlockMap::Found> found = co_await image_.map.Find(block);
      if (!found) {
        CO_TRY(Lost(found.error(), block));
        block = image_.map.Lookup(block).end_block;
        continue;
      }
      const uint64_t region = block / kBlocksPerRegion;
      if (region != last_region) {
        const uint64_t user = SlotUses::OfRegion(region);
        image_.map.ForEachRegionRun(block, [&](SlotRun run) { UseMetadata(run, user); });
      }
      last_region = region;
      if (found->kind == BlockMap::Found::Kind::kLeaf)
        CO_TRY(co_await CheckLeaf(block, *found->leaf));
      block = found->end_block;
    }
    for (uint32_t i = 0; i < kRootsMax; ++i) {
      const Slot slot = image_.map.RootSlot(i);
      if (slot != 0) UseMetadata(SlotRun{slot, 1}, SlotUses::OfRoot(i));
    }
    const SnapshotCheck snapshots{image_, scope_, report_, uses_, file_slots_};
    CO_TRY(co_await CheckSnapshots(snapshots));
    if (image_.superblock.sealed && report_.corruptions == 0) CO_TRY(co_await CheckSeal());
    co_return Result<void>();
  }

 private:
  struct Item {
    uint64_t block;
    LeafEntry entry;
  };

  // A damaged part of the map; any other error ends the check.
  Result<void> Lost(const Error& error, uint64_t block) {
    if (error.code != Errc::kCorrupt) return error;
    const uint64_t end = image_.map.Lookup(block).end_block;
    report_.AddCorruption(error.message, RangeBetween(block * kSlotBytes, end * kSlotBytes));
    return {};
  }

  void UseMetadata(SlotRun run, uint64_t user) {
    for (uint64_t slot = run.first; slot < run.end(); ++slot) {
      Use(static_cast<Slot>(slot), user, "the map", std::nullopt);
    }
  }

  void Use(Slot slot, uint64_t number, std::string_view user, std::optional<ByteRange> guest) {
    if (slot >= file_slots_) {
      report_.AddCorruption(
          fmt::format("{} uses slot {}, but the file ends at slot {}", user, slot, file_slots_),
          guest);
      return;  // and a bitmap that large is not wanted
    }
    if (uses_.Use(slot, number) != SlotUses::Outcome::kFirst) {
      report_.AddCorruption(fmt::format("slot {} (file offset {}) is used twice, also by {}", slot,
                                        SlotOffset(slot), user),
                            guest);
    }
  }

  Async<void> CheckLeaf(uint64_t first_block, const Leaf& leaf) {
    std::vector<Item> items;
    leaf.ForEach([&](uint32_t index, const LeafEntry& entry) {
      ++report_.blocks_checked;
      if (!IsPlace(entry.slot)) return;
      const uint64_t block = first_block + index;
      Use(entry.slot, SlotUses::OfBlock(block, entry.digest),
          fmt::format("the block at guest offset {}", block * kSlotBytes),
          ByteRange{block * kSlotBytes, kSlotBytes});
      items.push_back({block, entry});
    });
    if (scope_ == CheckScope::kMetadata) co_return Result<void>();
    for (size_t begin = 0; begin < items.size();) {
      size_t end = begin + 1;
      while (end < items.size() && end - begin < kRunSlotsMax &&
             items[end].entry.slot == items[end - 1].entry.slot + 1) {
        ++end;
      }
      CO_TRY(co_await CheckRun(std::span(items).subspan(begin, end - begin)));
      begin = end;
    }
    co_return Result<void>();
  }

  // Blocks in neighbouring slots.
  Async<void> CheckRun(std::span<const Item> items) {
    AlignedBuffer data(items.size() * kSlotBytes);
    CO_TRY(co_await image_.file->Read(SlotOffset(items.front().entry.slot), data.span()));
    for (size_t i = 0; i < items.size(); ++i) {
      const uint64_t begin = items[i].block * kSlotBytes;
      const uint64_t end = std::min(begin + kSlotBytes, image_.superblock.virtual_size);
      const ConstBytes block = data.span().subspan(i * kSlotBytes, end - begin);
      if (DigestBlock(block) == items[i].entry.digest) continue;
      report_.AddCorruption(
          fmt::format("the block at guest offset {}, file offset {} does not match its checksum",
                      begin, SlotOffset(items[i].entry.slot)),
          RangeBetween(begin, end));
    }
    co_return Result<void>();
  }

  Async<void> CheckSeal() {
    CO_ASSIGN(const auto digest, co_await ComputeSealDigest(image_));
    if (digest != image_.superblock.seal_digest) {
      report_.AddCorruption("the map does not add up to the digest of the seal", std::nullopt);
    }
    co_return Result<void>();
  }

  Image& image_;
  const CheckScope scope_;
  CheckReport& report_;
  const uint64_t file_slots_;
  SlotUses uses_;
};

}  // namespace
}  // namespace native

Async<CheckReport> MicaFormat::Check(Host& host, const std::filesystem::path& path,
                                     CheckScope scope) const {
  OpenOptions options;
  options.lock = FileLock::kShared;
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  CO_ASSIGN(const bool is_packed, co_await packed::IsPacked(*file));
  if (is_packed) co_return co_await packed::CheckPacked(path, *file, scope);
  CO_ASSIGN(const std::shared_ptr<native::OpenImage> open,
            co_await native::OpenMicaImage(host, path, std::move(file), options));
  CheckReport report;
  CO_ASSIGN(const uint64_t size, co_await open->image.file->Size());
  native::Checker checker(open->image, scope, report, size / native::kSlotBytes);
  CO_TRY(co_await checker.Run());
  co_return report;
}

}  // namespace mica
