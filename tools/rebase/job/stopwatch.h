// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace mica::rebase {

// Adds the time from its making to its end to a figure of a report, in seconds.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    seconds_ += elapsed.count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  double& seconds_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace mica::rebase
