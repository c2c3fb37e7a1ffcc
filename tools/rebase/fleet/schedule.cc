// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fleet/schedule.h"

#include <fmt/format.h>

#include <algorithm>

namespace mica::rebase {

Schedule::Schedule(const ScheduleOptions& options, std::vector<size_t> vms)
    : options_(options), later_(vms.begin(), vms.end()) {}

bool Schedule::Counts(VmState state) const {
  return IsBad(state) ||
         (options_.halt_level == HaltLevel::kConflicts && state == VmState::kConflicts);
}

void Schedule::StartWave() {
  canary_ = !begun_ && options_.canaries > 0;
  begun_ = true;
  if (!canary_ && options_.waves_max != 0 && wave_number_ == options_.waves_max) {
    paused_ = fmt::format("{} waves are done; run the command again for the next ones",
                          options_.waves_max);
    return;
  }
  if (!canary_) ++wave_number_;
  size_t count = canary_ ? options_.canaries : options_.wave;
  if (count == 0) count = later_.size();
  count = std::min(count, later_.size());
  const auto end = later_.begin() + static_cast<ptrdiff_t>(count);
  wave_.assign(later_.begin(), end);
  later_.erase(later_.begin(), end);
}

std::optional<size_t> Schedule::Next() {
  if (!stopped() && wave_.empty() && running_ == 0 && !later_.empty()) StartWave();
  if (stopped() || wave_.empty()) return std::nullopt;
  const size_t vm = wave_.front();
  wave_.pop_front();
  ++running_;
  return vm;
}

void Schedule::Ended(size_t vm, VmState state, uint32_t attempts) {
  --running_;
  // What finds a VM busy is often an earlier run's process that is still being killed.
  const bool may_pass = state == VmState::kFailed || state == VmState::kBusy;
  if (may_pass && attempts <= options_.retries && !stopped()) {
    wave_.push_back(vm);
    return;
  }
  if (!Counts(state)) return;
  ++counted_;
  if (canary_) {
    Halt(fmt::format("a canary ended as {}", VmStateName(state)));
  } else if (options_.halt_after && counted_ > *options_.halt_after) {
    Halt(fmt::format("{} VMs ended badly, more than {}", counted_, *options_.halt_after));
  }
}

bool Schedule::finished() {
  return running_ == 0 && (stopped() || (wave_.empty() && later_.empty()));
}

void Schedule::Halt(std::string why) {
  if (halted_.empty()) halted_ = std::move(why);
}

}  // namespace mica::rebase
