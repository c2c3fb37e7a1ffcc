// SPDX-License-Identifier: Apache-2.0
// Which VM of a fleet job goes next: canaries first, then waves, and a stop when too many end
// badly. Pure; knows no processes and no clock.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tools/rebase/fleet/vm_row.h"

namespace mica::rebase {

enum class HaltLevel : uint8_t {
  kConflicts,  // a VM whose losing versions were saved counts
  kErrors,     // only one that was not switched does
};

struct ScheduleOptions {
  size_t canaries = 0;   // this many go first; one that counts stops the job
  size_t wave = 0;       // VMs a wave, 0: all in one; the next one starts when all have ended
  size_t waves_max = 0;  // 0: all of them
  uint32_t retries = 1;  // of a VM that failed
  HaltLevel halt_level = HaltLevel::kErrors;
  std::optional<size_t> halt_after;  // more than so many VMs that count stop the job
};

class Schedule {
 public:
  // `vms`: indexes of the VMs to go, in order.
  Schedule(const ScheduleOptions& options, std::vector<size_t> vms);

  // The VM to start now; empty: none before another one has ended, or none at all.
  std::optional<size_t> Next();
  // A VM has ended in a state other than kPending and kRunning. `attempts`: how often it was tried.
  void Ended(size_t vm, VmState state, uint32_t attempts);

  // Nothing runs and nothing will be started.
  [[nodiscard]] bool finished();
  // Why nothing more is started, for people; both empty: all went or may go. Halted: something is
  // wrong. Paused: the waves that were asked for are done.
  [[nodiscard]] const std::string& halted() const noexcept { return halted_; }
  [[nodiscard]] const std::string& paused() const noexcept { return paused_; }
  // Stops from outside.
  void Halt(std::string why);
  [[nodiscard]] size_t wave_number() const noexcept { return wave_number_; }  // from 1; 0: canaries

 private:
  void StartWave();
  [[nodiscard]] bool stopped() const { return !halted_.empty() || !paused_.empty(); }
  [[nodiscard]] bool Counts(VmState state) const;

  ScheduleOptions options_;
  std::deque<size_t> later_;  // not in a wave yet
  std::deque<size_t> wave_;   // of this wave, not started
  size_t running_ = 0;
  size_t counted_ = 0;
  size_t wave_number_ = 0;
  bool begun_ = false;
  bool canary_ = false;  // this wave is theirs
  std::string halted_;
  std::string paused_;
};

}  // namespace mica::rebase
