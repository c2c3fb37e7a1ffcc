// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/slot_allocator.h"

#include <algorithm>
#include <bit>

#include "engine/base/check.h"

namespace mica::native {

namespace {
constexpr uint32_t kWordBits = 64;
// Writes of this many slots or more would rather have fresh neighbouring slots than scattered ones…
constexpr uint64_t kLongWriteSlots = 4;
// …as long as less than this part of the file is free.
constexpr uint64_t kFreePart = 16;
}  // namespace

void SlotBitmap::Set(Slot slot) {
  const size_t word = slot / kWordBits;
  if (word >= words_.size()) {
    words_.resize(std::max(word + 1, words_.size() * 2));
    nonzero_.resize(words_.size() / kWordBits + 1);
  }
  words_[word] |= uint64_t{1} << slot % kWordBits;
  nonzero_[word / kWordBits] |= uint64_t{1} << word % kWordBits;
}

void SlotBitmap::Clear(Slot slot) noexcept {
  const size_t word = slot / kWordBits;
  if (word >= words_.size()) return;
  words_[word] &= ~(uint64_t{1} << slot % kWordBits);
  if (words_[word] == 0) nonzero_[word / kWordBits] &= ~(uint64_t{1} << word % kWordBits);
}

bool SlotBitmap::Test(Slot slot) const noexcept {
  const size_t word = slot / kWordBits;
  return word < words_.size() && (words_[word] >> slot % kWordBits & 1) != 0;
}

// The first word from `from` on that is not 0, or words_.size().
size_t SlotBitmap::FindWord(size_t from) const noexcept {
  if (from >= words_.size()) return words_.size();
  size_t index = from / kWordBits;
  uint64_t bits = nonzero_[index] & (~uint64_t{0} << from % kWordBits);
  while (bits == 0) {
    if (++index >= nonzero_.size()) return words_.size();
    bits = nonzero_[index];
  }
  return index * kWordBits + static_cast<size_t>(std::countr_zero(bits));
}

Slot SlotBitmap::FindSet(Slot from, Slot end) const noexcept {
  size_t word = from / kWordBits;
  if (word >= words_.size() || from >= end) return end;
  uint64_t bits = words_[word] & (~uint64_t{0} << from % kWordBits);
  if (bits == 0) {
    word = FindWord(word + 1);
    if (word == words_.size()) return end;
    bits = words_[word];
  }
  const uint64_t found = word * kWordBits + static_cast<uint64_t>(std::countr_zero(bits));
  return static_cast<Slot>(std::min<uint64_t>(found, end));
}

Slot SlotBitmap::FindClear(Slot from, Slot end) const noexcept {
  if (from >= end) return end;
  for (size_t word = from / kWordBits; word < words_.size(); ++word) {
    uint64_t bits = ~words_[word];
    if (word == from / kWordBits) bits &= ~uint64_t{0} << from % kWordBits;
    if (bits == 0) continue;
    const uint64_t found = word * kWordBits + static_cast<uint64_t>(std::countr_zero(bits));
    return static_cast<Slot>(std::min<uint64_t>(found, end));
  }
  return std::min(end, std::max(from, static_cast<Slot>(words_.size() * kWordBits)));
}

uint64_t SlotBitmap::CountSet() const noexcept {
  uint64_t count = 0;
  for (const uint64_t word : words_) count += static_cast<uint64_t>(std::popcount(word));
  return count;
}

SlotAllocator::SlotAllocator(Slot high_water, uint64_t granted_end)
    : high_water_(high_water),
      granted_end_(std::min<uint64_t>(granted_end, kSlotEnd)),
      hidden_end_(high_water),
      cursor_(high_water) {}

bool SlotAllocator::PreferFresh(uint64_t count) const noexcept {
  return !packing_ && count >= kLongWriteSlots && count <= GrantedAbove() &&
         free_ < high_water_ / kFreePart;
}

std::vector<SlotRun> SlotAllocator::Allocate(uint64_t count) {
  MICA_CHECK(count <= available());
  std::vector<SlotRun> runs;
  if (free_ > 0 && !PreferFresh(count)) runs = TakeFree(count);
  const uint64_t rest = count - CountSlots(runs);
  if (rest > 0) {
    AppendRun(runs, SlotRun{high_water_, static_cast<uint32_t>(rest)});
    high_water_ += static_cast<Slot>(rest);
  }
  for (const SlotRun& run : runs) Unsettle(run);
  return runs;
}

void SlotAllocator::Unsettle(SlotRun run) {
  for (uint64_t slot = run.first; slot < run.end(); ++slot) {
    unsettled_.Set(static_cast<Slot>(slot));
  }
}

void SlotAllocator::Settle(SlotRun run) noexcept {
  for (uint64_t slot = run.first; slot < run.end(); ++slot) {
    unsettled_.Clear(static_cast<Slot>(slot));
  }
}

std::vector<SlotRun> SlotAllocator::TakeFree(uint64_t count) {
  std::vector<SlotRun> runs;
  if (packing_) cursor_ = hidden_end_;
  uint64_t taken = 0;
  bool wrapped = false;
  while (taken < count && free_ > 0) {
    const Slot slot = bits_.FindSet(std::max(cursor_, hidden_end_), high_water_);
    if (slot == high_water_) {
      MICA_CHECK(!wrapped);  // free_ says there is one
      wrapped = true;
      cursor_ = hidden_end_;
      continue;
    }
    TakeOut(slot);
    ++taken;
    AppendRun(runs, SlotRun{slot, 1});
    cursor_ = slot + 1;
  }
  return runs;
}

SlotRun SlotAllocator::AllocateContiguous(uint32_t count) {
  if (GrantedAbove() < count) return {};
  const SlotRun run{high_water_, count};
  high_water_ += count;
  Unsettle(run);
  return run;
}

void SlotAllocator::Free(SlotRun run) {
  for (uint64_t at = run.first; at < run.end(); ++at) {
    const Slot slot = static_cast<Slot>(at);
    // A damaged map can name slots that were never handed out, or one twice; `check` reports those.
    if (!IsPlace(slot) || slot >= high_water_ || bits_.Test(slot)) continue;
    bits_.Set(slot);
    unsettled_.Clear(slot);
    ++freed_total_;
    if (slot >= hidden_end_) ++free_;
  }
}

void SlotAllocator::RaiseHighWater(Slot high_water) noexcept {
  high_water_ = std::max(high_water_, high_water);
  hidden_end_ = high_water_;
  free_ = 0;
  cursor_ = high_water_;
}

void SlotAllocator::Grant(uint64_t granted_end) noexcept {
  granted_end_ = std::max(granted_end_, std::min<uint64_t>(granted_end, kSlotEnd));
}

void SlotAllocator::Reveal(const SlotBitmap& in_use) {
  for (Slot slot = kSlotFirst; slot < hidden_end_; ++slot) {
    if (bits_.Test(slot)) {
      ++free_;
    } else if (!in_use.Test(slot) && !unsettled_when_hidden_.Test(slot)) {
      AddBare(SlotRun{slot, 1});
    }
  }
  hidden_end_ = 0;
  cursor_ = 0;
  unsettled_when_hidden_ = SlotBitmap();
}

void SlotAllocator::Hide() {
  hidden_end_ = high_water_;
  free_ = 0;
  cursor_ = high_water_;
  unsettled_when_hidden_ = unsettled_;
}

}  // namespace mica::native
