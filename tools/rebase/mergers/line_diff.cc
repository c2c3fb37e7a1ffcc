// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/line_diff.h"

#include <algorithm>

namespace mica::rebase {
namespace {

// Half-open ranges of lines still to be matched.
struct Box {
  size_t before_begin = 0;
  size_t before_end = 0;
  size_t after_begin = 0;
  size_t after_end = 0;
};

// A run of equal lines in the middle of a shortest edit script, relative to its box.
struct Snake {
  size_t before_begin = 0;
  size_t after_begin = 0;
  size_t length = 0;
};

class Matcher {
 public:
  Matcher(std::span<const uint32_t> before, std::span<const uint32_t> after, uint64_t steps)
      : before_(before), after_(after), steps_left_(steps), matches_(before.size(), kUnmatched) {}

  bool Match(Box box) {
    while (!Empty(box) && before_[box.before_begin] == after_[box.after_begin]) {
      matches_[box.before_begin++] = box.after_begin++;
    }
    while (!Empty(box) && before_[box.before_end - 1] == after_[box.after_end - 1]) {
      matches_[--box.before_end] = --box.after_end;
    }
    if (Empty(box)) return true;
    const std::optional<Snake> snake = MiddleSnake(box);
    if (!snake) return false;
    for (size_t i = 0; i < snake->length; ++i) {
      matches_[box.before_begin + snake->before_begin + i] =
          box.after_begin + snake->after_begin + i;
    }
    const Box left = {box.before_begin, box.before_begin + snake->before_begin, box.after_begin,
                      box.after_begin + snake->after_begin};
    const Box right = {left.before_end + snake->length, box.before_end,
                       left.after_end + snake->length, box.after_end};
    return Match(left) && Match(right);
  }

  std::vector<size_t> Take() && { return std::move(matches_); }

 private:
  static bool Empty(const Box& box) {
    return box.before_begin == box.before_end || box.after_begin == box.after_end;
  }

  // One direction of the search: furthest[diagonal] is how far along `before` a path of the current
  // number of edits gets on that diagonal, -1 where none does.
  struct Front {
    std::vector<int64_t> furthest;
    int64_t zero = 0;  // index of diagonal 0
    int64_t& At(int64_t diagonal) { return furthest[static_cast<size_t>(zero + diagonal)]; }
  };
  struct Step {
    int64_t start = 0;  // before the run of equal lines
    int64_t end = 0;    // after it
  };

  // The furthest point on `diagonal` with `edits` edits: one edit from a neighbour, then equal
  // lines.
  template <class Equal>
  std::optional<Step> Advance(Front& front, int64_t diagonal, int64_t edits, const Equal& equal) {
    int64_t x = -1;
    if (edits == 0) {
      x = 0;
    } else {
      const int64_t left = front.At(diagonal - 1);
      const int64_t above = front.At(diagonal + 1);
      if (left >= 0 && left < width_) x = left + 1;
      if (above >= 0 && above - diagonal <= height_) x = std::max(x, above);
    }
    if (x < 0 || x - diagonal < 0) {
      front.At(diagonal) = -1;
      return std::nullopt;
    }
    Step step = {x, x};
    while (step.end < width_ && step.end - diagonal < height_ &&
           equal(step.end, step.end - diagonal)) {
      ++step.end;
    }
    steps_left_ -= std::min(steps_left_, static_cast<uint64_t>(step.end - step.start + 1));
    front.At(diagonal) = step.end;
    return step;
  }

  std::optional<Snake> MiddleSnake(const Box& box) {
    width_ = static_cast<int64_t>(box.before_end - box.before_begin);
    height_ = static_cast<int64_t>(box.after_end - box.after_begin);
    const int64_t delta = width_ - height_;
    const bool odd = (delta & 1) != 0;
    auto index = [](size_t begin, int64_t at) { return begin + static_cast<size_t>(at); };
    auto forward_equal = [&](int64_t x, int64_t y) {
      return before_[index(box.before_begin, x)] == after_[index(box.after_begin, y)];
    };
    auto backward_equal = [&](int64_t x, int64_t y) {
      return before_[index(box.before_begin, width_ - 1 - x)] ==
             after_[index(box.after_begin, height_ - 1 - y)];
    };
    const auto diagonals = static_cast<size_t>(2 * (width_ + height_) + 5);
    Front forward = {std::vector<int64_t>(diagonals, -1), width_ + height_ + 2};
    Front backward = forward;
    for (int64_t edits = 0; edits <= (width_ + height_ + 1) / 2; ++edits) {
      if (steps_left_ == 0) return std::nullopt;
      for (int64_t k = -edits; k <= edits; k += 2) {
        const auto step = Advance(forward, k, edits, forward_equal);
        if (!step || !odd || std::abs(delta - k) > edits - 1) continue;
        const int64_t met = backward.At(delta - k);
        if (met >= 0 && step->end + met >= width_) return MakeSnake(*step, k);
      }
      for (int64_t k = -edits; k <= edits; k += 2) {
        const auto step = Advance(backward, k, edits, backward_equal);
        if (!step || odd || std::abs(delta - k) > edits) continue;
        const int64_t met = forward.At(delta - k);
        if (met >= 0 && step->end + met >= width_) {
          return MakeSnake({width_ - step->end, width_ - step->start}, delta - k);
        }
      }
    }
    return std::nullopt;
  }

  static Snake MakeSnake(const Step& step, int64_t diagonal) {
    return {static_cast<size_t>(step.start), static_cast<size_t>(step.start - diagonal),
            static_cast<size_t>(step.end - step.start)};
  }

  std::span<const uint32_t> before_;
  std::span<const uint32_t> after_;
  uint64_t steps_left_;
  std::vector<size_t> matches_;
  int64_t width_ = 0;  // of the box being searched
  int64_t height_ = 0;
};

}  // namespace

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const size_t length = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

std::optional<std::vector<size_t>> MatchLines(std::span<const uint32_t> before,
                                              std::span<const uint32_t> after, uint64_t steps_max) {
  Matcher matcher(before, after, steps_max);
  if (!matcher.Match({0, before.size(), 0, after.size()})) return std::nullopt;
  return std::move(matcher).Take();
}

}  // namespace mica::rebase
