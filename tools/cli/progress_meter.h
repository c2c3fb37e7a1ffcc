// SPDX-License-Identifier: Apache-2.0
// ProgressMeter: how fast and how long still, from samples of what is done. Pure; no clock of its
// own.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace mica {

struct ProgressTotals {
  uint64_t bytes = 0;
  uint64_t files = 0;
};

class ProgressMeter {
 public:
  using Time = std::chrono::nanoseconds;  // monotonic

  // `goal`: what will be done in the end; 0 where it is not known.
  ProgressMeter(std::string label, ProgressTotals goal, Time start);

  void SetGoal(ProgressTotals goal) noexcept { goal_ = goal; }
  // `done` is everything so far, not the difference; it never decreases.
  void Sample(Time now, ProgressTotals done);

  // Over the last kWindow, so that a slow start does not spoil the estimate.
  static constexpr Time kWindow = std::chrono::seconds(10);
  [[nodiscard]] double BytesPerSecond() const noexcept;
  // Part of the goal that is done, 0 to 1; by bytes where their goal is known, else by files. Empty
  // when neither is.
  [[nodiscard]] std::optional<double> Fraction() const noexcept;
  // Empty when the goal or the rate is not known.
  [[nodiscard]] std::optional<std::chrono::seconds> TimeLeft() const noexcept;

  // "convert: 1.20 GiB of 4 GiB (30.0 %), 12 files, 118 MiB/s, 0:24 left".
  [[nodiscard]] std::string Line() const;
  // A bar of at most `columns` characters with the same numbers.
  [[nodiscard]] std::string Bar(size_t columns) const;

 private:
  struct Point {
    Time time;
    ProgressTotals done;
  };
  [[nodiscard]] double PerSecond(uint64_t ProgressTotals::* what) const noexcept;
  [[nodiscard]] std::string Numbers() const;

  std::string label_;
  ProgressTotals goal_;
  std::deque<Point> points_;  // never empty; the oldest is the start of the window
};

}  // namespace mica
