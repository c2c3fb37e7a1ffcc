// SPDX-License-Identifier: Apache-2.0
// Some processes of this program at a time, waited for together.
#pragma once

#include <chrono>
#include <list>
#include <optional>
#include <vector>

#include "tools/rebase_run/self_process.h"

namespace mica {

class ProcessPool {
 public:
  using Clock = std::chrono::steady_clock;

  struct Ended {
    size_t key = 0;
    ProcessEnd end;
    double seconds = 0;
    std::string output;
    std::string errors;
  };

  [[nodiscard]] size_t size() const noexcept { return running_.size(); }
  // `key` comes back in Ended. Killed at the deadline (empty: never).
  void Add(size_t key, SelfProcess process, std::optional<Clock::time_point> deadline);
  void KillAll();
  // Waits until a process has something to say or has ended, or `wake_fd` (-1: none) is readable.
  // Returns those that have ended.
  std::vector<Ended> Wait(int wake_fd);

 private:
  struct Running {
    size_t key;
    SelfProcess process;
    Clock::time_point started;
    std::optional<Clock::time_point> deadline;
    bool timed_out = false;
  };

  void Poll(int wake_fd);
  static Ended Finish(Running& running);

  std::list<Running> running_;
};

}  // namespace mica
