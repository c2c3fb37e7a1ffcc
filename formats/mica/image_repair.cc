// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/image_repair.h"

#include <fmt/format.h>

#include <algorithm>

namespace mica::native {

namespace {

using Lost = CheckReport::Lost;

class Repairer {
 public:
  Repairer(OpenImage& open, const Damage& damage, CheckReport& report)
      : open_(open), image_(open.image), damage_(damage), report_(report) {}

  Async<void> Run() {
    // Nothing that is in use may be taken for free, whatever the superblock says.
    if (damage_.used_end > image_.slots.high_water()) {
      image_.slots.RaiseHighWater(damage_.used_end);
    }
    for (const Damage::Blocks& part : damage_.map_parts) CO_TRY(co_await DropPart(part));
    for (const uint64_t block : damage_.lost) CO_TRY(co_await GiveUp(block));
    for (const uint64_t block : damage_.sharing) CO_TRY(co_await GiveOwnSlot(block));
    SortLost();
    co_return co_await open_.committer.CheckpointNow();
  }

 private:
  Async<void> DropPart(Damage::Blocks part) {
    const Result<BlockMap::Found> found = co_await image_.map.Find(part.first);
    if (found || found.error().code != Errc::kCorrupt) {
      co_return Error{
          Errc::kIo, fmt::format("{}: the map changes while it is repaired", image_.path.string())};
    }
    CO_TRY(co_await open_.space.Ensure(kReserveSlots, SpaceUse::kCheckpoint));
    image_.map.Drop(part.first);
    const bool parent = image_.superblock.parent.has_value();
    AddLost(part, parent ? Lost::Now::kParent : Lost::Now::kZero);
    report_.repairs.push_back(fmt::format("dropped a part of the map ({})", found.error().message));
    co_return Result<void>();
  }

  Async<void> GiveUp(uint64_t block) {
    LeafEntry zero;
    zero.slot = kSlotZero;
    zero.epoch = image_.epoch;
    CO_TRY(co_await Change(block, zero));
    AddLost({block, block + 1}, Lost::Now::kZero);
    co_return Result<void>();
  }

  Async<void> GiveOwnSlot(uint64_t block) {
    CO_ASSIGN(const BlockMap::Found found, co_await image_.map.Find(block));
    if (found.kind != BlockMap::Found::Kind::kLeaf) co_return Result<void>();
    LeafEntry entry = found.leaf->Get(static_cast<uint32_t>(block % kBlocksPerLeaf));
    AlignedBuffer data(kSlotBytes);
    CO_TRY(co_await image_.file->Read(SlotOffset(entry.slot), data.span()));
    CO_TRY(co_await open_.space.Ensure(1 + image_.map.GrowthMax(block, block + 1),
                                       SpaceUse::kCheckpoint));
    entry.slot = image_.slots.Allocate(1).front().first;
    entry.epoch = image_.epoch;
    CO_TRY(co_await image_.file->Write(SlotOffset(entry.slot), data.span()));
    CO_TRY(co_await Change(block, entry));
    report_.repairs.push_back(
        fmt::format("gave the block at guest offset {} a slot of its own", block * kSlotBytes));
    co_return Result<void>();
  }

  Async<void> Change(uint64_t block, LeafEntry entry) {
    CO_TRY(co_await image_.map.Find(block));
    const uint64_t growth = image_.map.GrowthMax(block, block + 1);
    CO_TRY(co_await open_.space.Ensure(growth, SpaceUse::kCheckpoint));
    CO_TRY(co_await image_.map.Find(block));
    image_.map.Change(block, [block, &entry](Leaf& leaf) {
      leaf.Set(static_cast<uint32_t>(block % kBlocksPerLeaf), entry);
    });
    co_return Result<void>();
  }

  void AddLost(Damage::Blocks blocks, Lost::Now reads) {
    Lost lost;
    lost.guest = Intersect(RangeBetween(blocks.first * kSlotBytes, blocks.end * kSlotBytes),
                           ByteRange{0, image_.superblock.virtual_size});
    lost.reads = reads;
    report_.lost.push_back(lost);
  }

  void SortLost() {
    std::ranges::sort(report_.lost, {}, [](const Lost& lost) { return lost.guest.offset; });
    std::vector<Lost> merged;
    for (const Lost& lost : report_.lost) {
      if (!merged.empty() && merged.back().guest.end() == lost.guest.offset &&
          merged.back().reads == lost.reads) {
        merged.back().guest.length += lost.guest.length;
      } else {
        merged.push_back(lost);
      }
    }
    report_.lost = std::move(merged);
  }

  OpenImage& open_;
  Image& image_;
  const Damage& damage_;
  CheckReport& report_;
};

OpenOptions ForRepair() {
  OpenOptions options;
  options.writable = true;
  options.direct = true;
  options.lock = FileLock::kExclusive;
  return options;
}

Async<void> RestoreCopy(Host& host, const std::filesystem::path& path, const Examination& found) {
  const OpenOptions options = ForRepair();
  CO_ASSIGN(const std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  CO_TRY(co_await WriteSuperblock(*file, found.superblock, 1 - found.position));
  co_return co_await file->Sync();
}

// A file that was cut gets its length back; what was in the missing part is lost.
Async<void> RestoreLength(Host& host, const std::filesystem::path& path, const Examination& found) {
  const OpenOptions options = ForRepair();
  CO_ASSIGN(const std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  CO_TRY(co_await file->Resize(SlotOffset(found.superblock.high_water)));
  co_return co_await file->Sync();
}

Error SealedIsDamaged(const std::filesystem::path& path) {
  return {Errc::kReadOnly,
          fmt::format("{}: the image is sealed, and what is damaged in it cannot be made up: its "
                      "deltas depend on exactly this content; restore it from a copy",
                      path.string())};
}

// Free runs become holes and the file ends with the last slot in use.
Async<void> GiveBackLeaks(OpenImage& open) {
  CO_TRY(co_await open.space.Walk());
  co_return co_await open.returner.PunchBareRuns();
}

}  // namespace

Async<void> RepairImage(Host& host, std::filesystem::path path, CheckRepair repair,
                        const Examination& found, CheckReport& report) {
  const bool damaged = found.damage.corruptions > 0;
  if (!damaged && found.report.corruptions > 0) co_return Result<void>();  // only in snapshots
  if (found.copy_damaged) {
    CO_TRY(co_await RestoreCopy(host, path, found));
    report.repairs.push_back(
        fmt::format("wrote the superblock at slot {} anew", 1 - found.position));
  }
  if (found.superblock.sealed) {
    if (damaged && repair == CheckRepair::kAll) co_return SealedIsDamaged(path);
    co_return Result<void>();
  }
  if (damaged && repair == CheckRepair::kLeaks) co_return Result<void>();
  if (!damaged && found.report.leaked_bytes == 0) co_return Result<void>();
  if (found.file_slots < found.superblock.high_water) {
    CO_TRY(co_await RestoreLength(host, path, found));
    report.repairs.push_back("gave the truncated file its length back");
  }
  LogDamage log_damage;
  const OpenOptions options = ForRepair();
  CO_ASSIGN(const std::shared_ptr<OpenImage> open,
            co_await OpenMicaFile(host, path, options, &log_damage));
  if (log_damage.error) {
    report.repairs.push_back(
        fmt::format("gave up a part of the log ({})", log_damage.error->message));
  }
  if (damaged) {
    Repairer repairer(*open, found.damage, report);
    CO_TRY(co_await repairer.Run());
  } else {
    CO_TRY(co_await GiveBackLeaks(*open));
    report.repairs.push_back(
        fmt::format("gave up to {} bytes of leaked space back", found.report.leaked_bytes));
  }
  const std::optional<std::array<uint8_t, 16>> no_seal;
  co_return co_await open->CloseClean(no_seal);
}

}  // namespace mica::native
