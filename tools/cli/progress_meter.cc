// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/progress_meter.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tools/cli/output_text.h"

namespace mica {

ProgressMeter::ProgressMeter(std::string label, ProgressTotals goal, Time start)
    : label_(std::move(label)), goal_(goal) {
  points_.push_back(Point{start, ProgressTotals{}});
}

void ProgressMeter::Sample(Time now, ProgressTotals done) {
  points_.push_back(Point{now, done});
  // One point at or before the beginning of the window stays: the window is then full.
  while (points_.size() > 2 && points_[1].time <= now - kWindow) points_.pop_front();
}

double ProgressMeter::PerSecond(uint64_t ProgressTotals::* what) const noexcept {
  const Point& from = points_.front();
  const Point& to = points_.back();
  const double seconds = std::chrono::duration<double>(to.time - from.time).count();
  if (seconds <= 0) return 0;
  return static_cast<double>(to.done.*what - from.done.*what) / seconds;
}

double ProgressMeter::BytesPerSecond() const noexcept {
  return PerSecond(&ProgressTotals::bytes);
}

std::optional<double> ProgressMeter::Fraction() const noexcept {
  const auto what = goal_.bytes != 0 ? &ProgressTotals::bytes : &ProgressTotals::files;
  if (goal_.*what == 0) return std::nullopt;
  const double fraction =
      static_cast<double>(points_.back().done.*what) / static_cast<double>(goal_.*what);
  return std::min(fraction, 1.0);
}

std::optional<std::chrono::seconds> ProgressMeter::TimeLeft() const noexcept {
  const auto what = goal_.bytes != 0 ? &ProgressTotals::bytes : &ProgressTotals::files;
  const double rate = PerSecond(what);
  const uint64_t done = points_.back().done.*what;
  if (goal_.*what == 0 || rate <= 0) return std::nullopt;
  if (done >= goal_.*what) return std::chrono::seconds(0);
  const double seconds = std::ceil(static_cast<double>(goal_.*what - done) / rate);
  constexpr double kLongestShown = 100.0 * 3600;  // more is no estimate
  if (seconds > kLongestShown) return std::nullopt;
  return std::chrono::seconds(static_cast<int64_t>(seconds));
}

std::string ProgressMeter::Numbers() const {
  const ProgressTotals done = points_.back().done;
  std::string text = FormatBytes(done.bytes);
  if (goal_.bytes != 0) text += fmt::format(" of {}", FormatBytes(goal_.bytes));
  if (const auto fraction = Fraction()) text += fmt::format(" ({:.1f} %)", *fraction * 100);
  if (done.files != 0 || goal_.files != 0) text += fmt::format(", {} files", done.files);
  text += fmt::format(", {}/s", FormatBytes(static_cast<uint64_t>(BytesPerSecond())));
  if (const auto left = TimeLeft()) text += fmt::format(", {} left", FormatDuration(*left));
  return text;
}

std::string ProgressMeter::Line() const {
  return fmt::format("{}: {}", label_, Numbers());
}

std::string ProgressMeter::Bar(size_t columns) const {
  constexpr size_t kBarMin = 10;
  constexpr size_t kBarMax = 40;
  const std::string line = Line();
  const auto fraction = Fraction();
  if (!fraction || line.size() + kBarMin + 3 > columns) return line.substr(0, columns);
  const size_t width = std::min(kBarMax, columns - line.size() - 3);
  const size_t filled = static_cast<size_t>(*fraction * static_cast<double>(width));
  return fmt::format("[{}{}] {}", std::string(filled, '#'), std::string(width - filled, '.'), line);
}

}  // namespace mica
