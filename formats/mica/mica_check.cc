// SPDX-License-Identifier: Apache-2.0
// `check` of a mica image: what the checker finds, the superblocks, and space that leaks. Slots
// that nothing uses are free; they leak only where this format would have given them back: beyond
// the high water mark of an image that was closed, and in long runs.
#include <fmt/format.h>

#include <algorithm>

#include "formats/mica/free_walk.h"
#include "formats/mica/image_repair.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/packed/packed_check.h"
#include "formats/mica/packed/packed_layer.h"

namespace mica {

namespace native {
namespace {

// Both copies are the same when an image is at rest. One that cannot be read costs nothing now, but
// the next damage would cost everything.
Async<bool> IsCopyDamaged(BlockFile& file, const SuperblockChoice& chosen, CheckReport& report) {
  AlignedBuffer block(kSlotBytes);
  const uint32_t other = 1 - chosen.position;
  const Result<void> read = co_await file.Read(SlotOffset(other), block.span());
  if (!read && read.error().code != Errc::kIo) co_return read.error();
  const Result<Superblock> copy = DecodeSuperblock(block.span());
  if (read && copy) co_return false;
  report.AddHarmless(
      fmt::format("the superblock at slot {} (file offset {}) is damaged; the other "
                  "one is good",
                  other, SlotOffset(other)));
  co_return true;
}

struct FreeSlots {
  uint64_t in_use = 0;
  uint64_t in_long_runs = 0;
  uint64_t in_short_runs = 0;
};

Async<FreeSlots> CountFreeSlots(Image& image) {
  CO_ASSIGN(const SlotBitmap in_use, co_await FindSlotsInUse(image));
  const Slot end = image.slots.high_water();
  FreeSlots count;
  for (Slot at = kSlotFirst; at < end;) {
    const Slot free_begin = in_use.FindClear(at, end);
    const Slot free_end = in_use.FindSet(free_begin, end);
    const uint64_t run = free_end - free_begin;
    count.in_use += free_begin - at;
    (run >= SpaceReturner::kRunSlotsMin ? count.in_long_runs : count.in_short_runs) += run;
    at = free_end;
  }
  co_return count;
}

// The map is good, and all of it has been read.
Async<void> FindLeaks(Image& image, const FileStat& stat, CheckReport& report) {
  const uint64_t end = uint64_t{image.slots.high_water()} * kSlotBytes;
  uint64_t beyond = 0;
  if (image.superblock.clean && stat.size > end) {
    beyond = stat.size - end;
    report.AddLeak(fmt::format("{} bytes at the end of the file hold nothing", beyond), beyond);
  }
  CO_ASSIGN(const FreeSlots count, co_await CountFreeSlots(image));
  const uint64_t known = (kSlotFirst + count.in_use + count.in_short_runs) * kSlotBytes +
                         (stat.size > end ? stat.size - end : 0);
  const uint64_t holding = stat.allocated_bytes > known ? stat.allocated_bytes - known : 0;
  const uint64_t leaked = std::min(holding, count.in_long_runs * kSlotBytes);
  // Less than that is the host's own bookkeeping.
  if (leaked < uint64_t{SpaceReturner::kRunSlotsMin} * kSlotBytes) co_return Result<void>();
  report.AddLeak(
      fmt::format("about {} bytes of host space are held by long runs of free slots", leaked),
      leaked);
  co_return Result<void>();
}

}  // namespace

Async<Examination> ExamineImage(Host& host, std::filesystem::path path, CheckOptions options) {
  OpenOptions open_options;
  open_options.lock = FileLock::kShared;
  LogDamage log_damage;
  CO_ASSIGN(const std::shared_ptr<OpenImage> open,
            co_await OpenMicaFile(host, path, open_options, &log_damage));
  Image& image = open->image;
  Examination found;
  found.superblock = image.superblock;
  found.position = image.superblock_position;
  if (log_damage.error) {
    found.report.AddCorruption(log_damage.error->message, std::nullopt);
    // What the lost pages said about slots is not known: only the digests tell what is left.
    options.scope = CheckScope::kMetadataAndData;
  }
  const SuperblockChoice chosen{image.superblock, image.superblock_position};
  CO_ASSIGN(found.copy_damaged, co_await IsCopyDamaged(*image.file, chosen, found.report));
  CO_ASSIGN(const uint64_t size, co_await image.file->Size());
  found.file_slots = size / kSlotBytes;
  Checker checker(image, options, found.report, found.file_slots);
  CO_TRY(co_await checker.Run());
  found.damage = checker.damage();
  if (found.report.corruptions > 0) co_return found;
  CO_ASSIGN(const FileStat stat, co_await host.Stat(path));
  CO_TRY(co_await FindLeaks(image, stat, found.report));
  co_return found;
}

}  // namespace native

Async<CheckReport> MicaFormat::Check(Host& host, const std::filesystem::path& path,
                                     CheckOptions options) const {
  const std::filesystem::path name = path;
  OpenOptions open_options;
  open_options.lock = FileLock::kShared;
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(name, open_options));
  CO_ASSIGN(const bool is_packed, co_await packed::IsPacked(*file));
  // Sealed for good: there is nothing in it that could be given up.
  if (is_packed) co_return co_await packed::CheckPacked(name, *file, options.scope);
  file.reset();
  CO_ASSIGN(native::Examination before, co_await native::ExamineImage(host, name, options));
  if (options.repair == CheckRepair::kNone) co_return std::move(before.report);
  CheckReport done;
  CO_TRY(co_await native::RepairImage(host, name, options.repair, before, done));
  CO_ASSIGN(native::Examination after, co_await native::ExamineImage(host, name, options));
  after.report.repairs = std::move(done.repairs);
  after.report.lost = std::move(done.lost);
  co_return std::move(after.report);
}

}  // namespace mica
