// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/reclaimer.h"

namespace mica::native {

struct Reclaimer::Pins {
  Reclaimer* owner;
  std::map<uint64_t, uint64_t> count_by_group;  // the group that was open when the pin was taken
};

class Reclaimer::GroupPin final : public ReadPin {
 public:
  explicit GroupPin(std::shared_ptr<Pins> pins)
      : pins_(std::move(pins)),
        position_(pins_->count_by_group.try_emplace(pins_->owner->open_.number, 0).first) {
    ++position_->second;
  }
  ~GroupPin() override {
    if (--position_->second > 0) return;
    pins_->count_by_group.erase(position_);
    if (pins_->owner != nullptr) pins_->owner->FreeWhatCanBe();
  }

 private:
  const std::shared_ptr<Pins> pins_;
  const std::map<uint64_t, uint64_t>::iterator position_;
};

Reclaimer::Reclaimer(SlotAllocator& slots) : slots_(slots), pins_(std::make_shared<Pins>()) {
  pins_->owner = this;
}

Reclaimer::~Reclaimer() {
  pins_->owner = nullptr;
}

void Reclaimer::Park(SlotRun run) {
  AppendRun(open_.runs, run);
  parked_slots_ += run.count;
}

uint64_t Reclaimer::Seal() {
  const uint64_t number = open_.number;
  sealed_.push_back(std::move(open_));
  open_ = Group{number + 1, {}, {}};
  return number;
}

void Reclaimer::MakeDurable(uint64_t group) {
  durable_ = std::max(durable_, group);
  FreeWhatCanBe();
}

std::unique_ptr<ReadPin> Reclaimer::Pin() {
  return std::make_unique<GroupPin>(pins_);
}

void Reclaimer::Retire(std::vector<SlotRun> runs, std::function<void()> freed) {
  // Pins taken from now on cannot name these slots, so they count to the next group.
  parked_slots_ += CountSlots(runs);
  retired_.push_back(Group{open_.number++, std::move(runs), std::move(freed)});
  FreeWhatCanBe();
}

bool Reclaimer::IsPinned(const Group& group) const {
  return !pins_->count_by_group.empty() && pins_->count_by_group.begin()->first <= group.number;
}

void Reclaimer::FreeGroup(const Group& group) {
  for (const SlotRun& run : group.runs) slots_.Free(run);
  parked_slots_ -= CountSlots(group.runs);
  if (group.freed) group.freed();
}

void Reclaimer::FreeWhatCanBe() {
  while (!sealed_.empty() && sealed_.front().number <= durable_ && !IsPinned(sealed_.front())) {
    FreeGroup(sealed_.front());
    sealed_.pop_front();
  }
  while (!retired_.empty() && !IsPinned(retired_.front())) {
    FreeGroup(retired_.front());
    retired_.pop_front();
  }
}

void Reclaimer::MarkParked(SlotBitmap& bitmap) const {
  const auto mark = [&bitmap](const Group& group) {
    for (const SlotRun& run : group.runs) {
      for (uint64_t slot = run.first; slot < run.end(); ++slot) bitmap.Set(static_cast<Slot>(slot));
    }
  };
  for (const Group& group : sealed_) mark(group);
  for (const Group& group : retired_) mark(group);
  mark(open_);
}

}  // namespace mica::native
