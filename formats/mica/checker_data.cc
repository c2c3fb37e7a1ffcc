// SPDX-License-Identifier: Apache-2.0
// Checker: data against digests.
#include <fmt/format.h>

#include <algorithm>

#include "engine/async/when_all.h"
#include "engine/digest.h"
#include "formats/mica/checker.h"

namespace mica::native {

namespace {
constexpr size_t kRunBlocksMax = 256;  // read 1 MiB at a time…
constexpr size_t kReadsInFlight = 8;   // …so many of them at once
}  // namespace

bool Checker::Matches(const Item& item, ConstBytes slot) const {
  return DigestBlock(slot.first(GuestRange(item.block).length)) == item.entry.digest;
}

Async<void> Checker::CheckBatch() {
  std::ranges::sort(batch_, {}, [](const Item& item) { return item.entry.slot; });
  runs_.clear();
  for (size_t begin = 0; begin < batch_.size();) {
    size_t end = begin + 1;
    while (end < batch_.size() && end - begin < kRunBlocksMax &&
           batch_[end].entry.slot == batch_[end - 1].entry.slot + 1) {
      ++end;
    }
    runs_.push_back(std::span<const Item>(batch_).subspan(begin, end - begin));
    begin = end;
  }
  size_t next = 0;
  std::vector<Async<void>> workers;
  for (size_t i = 0; i < std::min(kReadsInFlight, runs_.size()); ++i) {
    workers.push_back(Work(*this, next));
  }
  CO_TRY(co_await WhenAll(image_.loop, std::move(workers)));
  batch_.clear();
  co_return Result<void>();
}

Async<void> Checker::Work(Checker& checker, size_t& next) {
  while (next < checker.runs_.size()) {
    const std::span<const Item> run = checker.runs_[next++];
    CO_TRY(co_await checker.CheckRun(run));
  }
  co_return Result<void>();
}

// Blocks in neighbouring slots.
Async<void> Checker::CheckRun(std::span<const Item> items) {
  AlignedBuffer data(items.size() * kSlotBytes);
  const uint64_t offset = SlotOffset(items.front().entry.slot);
  const Result<void> read = co_await image_.file->Read(offset, data.span());
  if (!read && read.error().code != Errc::kIo) co_return read;
  for (size_t i = 0; i < items.size(); ++i) {
    if (read) {
      const ConstBytes slot = data.span().subspan(i * kSlotBytes, kSlotBytes);
      Report(items[i], Matches(items[i], slot) ? Verdict::kGood : Verdict::kDamaged);
    } else {  // one bad sector: which block is it in?
      CO_ASSIGN(const Verdict verdict, co_await CheckOne(items[i]));
      Report(items[i], verdict);
    }
  }
  read_bytes_ += data.size();
  if (options_.on_progress) {
    // Until the map has been walked nobody knows how much there is; the file's size is near.
    const uint64_t total = std::max(read_bytes_, file_slots_ * kSlotBytes);
    options_.on_progress(read_bytes_, total);
  }
  co_return Result<void>();
}

Async<Checker::Verdict> Checker::CheckOne(const Item& item) {
  AlignedBuffer data(kSlotBytes);
  const Result<void> read = co_await image_.file->Read(SlotOffset(item.entry.slot), data.span());
  if (!read && read.error().code != Errc::kIo) co_return read.error();
  if (!read) co_return Verdict::kUnreadable;
  const bool good = Matches(item, data.span());
  co_return good ? Verdict::kGood : Verdict::kDamaged;
}

void Checker::Report(const Item& item, Verdict verdict) {
  if (verdict == Verdict::kGood) return;
  const ByteRange guest = GuestRange(item.block);
  const std::string_view what =
      verdict == Verdict::kDamaged ? "does not match its checksum" : "cannot be read by the host";
  report_.AddCorruption(fmt::format("the block at guest offset {}, file offset {} {}", guest.offset,
                                    SlotOffset(item.entry.slot), what),
                        guest);
  if (verdict == Verdict::kDamaged) {
    damage_.lost.push_back(item.block);
  } else {
    damage_.unreadable = true;
  }
}

}  // namespace mica::native
