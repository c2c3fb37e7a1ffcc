// SPDX-License-Identifier: Apache-2.0
#include "nbd/memory_budget.h"

#include <algorithm>

namespace mica::nbd {

bool MemoryBudget::TryTake(uint64_t bytes) noexcept {
  uint64_t taken = taken_.load();
  do {
    if (taken > bytes_max_ || bytes > bytes_max_ - taken) return false;
  } while (!taken_.compare_exchange_weak(taken, taken + bytes));
  return true;
}

void MemoryBudget::Return(uint64_t bytes) {
  taken_.fetch_sub(bytes);
  if (!somebody_waits_.exchange(false)) return;
  const std::lock_guard lock(mutex_);
  for (LoopBudget* const loop : loops_) {
    loop->loop_.PostFromAnyThread([loop] { loop->released_.NotifyAll(); });
  }
}

void MemoryBudget::BeginWait() {
  if (somebody_waits_.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  for (LoopBudget* const loop : loops_) {
    loop->loop_.PostFromAnyThread([loop] { loop->on_pressure_(); });
  }
}

void MemoryBudget::Add(LoopBudget& loop) {
  const std::lock_guard lock(mutex_);
  loops_.push_back(&loop);
}

void MemoryBudget::Remove(LoopBudget& loop) {
  const std::lock_guard lock(mutex_);
  std::erase(loops_, &loop);
}

LoopBudget::LoopBudget(EventLoop& loop, MemoryBudget& shared, uint64_t export_bytes_max,
                       std::function<void()> on_pressure)
    : loop_(loop),
      shared_(shared),
      export_bytes_max_(export_bytes_max),
      on_pressure_(std::move(on_pressure)),
      released_(loop) {
  shared_.Add(*this);
}

LoopBudget::~LoopBudget() {
  shared_.Remove(*this);
  shared_.taken_.fetch_sub(reserved_);
}

bool LoopBudget::under_pressure() const noexcept {
  return !released_.empty() || shared_.somebody_waits_.load();
}

bool LoopBudget::Reserve(uint64_t bytes) {
  if (used_ <= reserved_ && bytes <= reserved_ - used_) return true;
  const uint64_t missing = used_ + bytes - reserved_;
  const uint64_t step = std::max(missing, kStepBytes);
  if (shared_.TryTake(step)) {
    reserved_ += step;
  } else if (shared_.TryTake(missing)) {
    reserved_ += missing;
  } else {
    return false;
  }
  return true;
}

bool LoopBudget::TryTake(ServedExport& by, uint64_t bytes, Holder holder) {
  const bool of_export =
      by.in_flight_bytes <= export_bytes_max_ && bytes <= export_bytes_max_ - by.in_flight_bytes;
  bool granted = of_export && Reserve(bytes);
  if (!granted && holder == Holder::kHasNothing && bytes <= kAlwaysAdmittedBytes) {
    shared_.Force(bytes);
    reserved_ += bytes;
    granted = true;
  }
  if (!granted && of_export) {
    shared_.BeginWait();
    granted = Reserve(bytes);  // what was returned before we were known to wait wakes nobody
  }
  if (!granted) {
    on_pressure_();
    return false;
  }
  used_ += bytes;
  by.in_flight_bytes += bytes;
  return true;
}

void LoopBudget::Release(ServedExport& by, uint64_t bytes) {
  used_ -= bytes;
  by.in_flight_bytes -= bytes;
  released_.NotifyAll();
  // Keeps a step, so that a single connection does not go back and forth.
  if (reserved_ - used_ > 2 * kStepBytes || (used_ == 0 && reserved_ != 0)) {
    const uint64_t kept = used_ == 0 ? 0 : kStepBytes;
    const uint64_t returned = reserved_ - used_ - kept;
    reserved_ -= returned;
    shared_.Return(returned);
  }
}

}  // namespace mica::nbd
