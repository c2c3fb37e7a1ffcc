// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "tools/rebase/mergers/line_diff.h"

namespace mica::rebase {
namespace {

constexpr size_t kBinaryProbe = 8000;
constexpr uint64_t kStepsMax = uint64_t{100} << 20;  // about a second

using Lines = std::vector<std::string_view>;

std::vector<uint32_t> Number(const Lines& lines,
                             std::unordered_map<std::string_view, uint32_t>& numbers) {
  std::vector<uint32_t> out;
  out.reserve(lines.size());
  for (const std::string_view line : lines) {
    out.push_back(numbers.try_emplace(line, static_cast<uint32_t>(numbers.size())).first->second);
  }
  return out;
}

struct Range {
  size_t begin = 0;
  size_t end = 0;
};

bool Same(const Lines& a, Range in_a, const Lines& b, Range in_b) {
  return std::equal(
      a.begin() + static_cast<ptrdiff_t>(in_a.begin), a.begin() + static_cast<ptrdiff_t>(in_a.end),
      b.begin() + static_cast<ptrdiff_t>(in_b.begin), b.begin() + static_cast<ptrdiff_t>(in_b.end));
}

class Diff3 {
 public:
  Diff3(std::string_view base, std::string_view ours, std::string_view theirs)
      : base_(SplitLines(base)), ours_(SplitLines(ours)), theirs_(SplitLines(theirs)) {}

  MergeOutput Run() {
    std::unordered_map<std::string_view, uint32_t> numbers;
    const auto base = Number(base_, numbers);
    const auto to_ours = MatchLines(base, Number(ours_, numbers), kStepsMax);
    const auto to_theirs = MatchLines(base, Number(theirs_, numbers), kStepsMax);
    if (!to_ours || !to_theirs) return {std::nullopt, {"the versions have too little in common"}};
    Range b, o, t;  // begin: what is still to be merged
    while (b.begin < base_.size() || o.begin < ours_.size() || t.begin < theirs_.size()) {
      // Up to the next line that all three have.
      b.end = b.begin;
      while (b.end < base_.size() &&
             ((*to_ours)[b.end] == kUnmatched || (*to_theirs)[b.end] == kUnmatched)) {
        ++b.end;
      }
      const bool at_end = b.end == base_.size();
      o.end = at_end ? ours_.size() : (*to_ours)[b.end];
      t.end = at_end ? theirs_.size() : (*to_theirs)[b.end];
      Chunk(b, o, t);
      if (!at_end) Append(base_, {b.end, b.end + 1});
      b.begin = b.end + 1;
      o.begin = o.end + 1;
      t.begin = t.end + 1;
      if (at_end) break;
    }
    if (broken_) conflicts_.emplace_back("a line without line feed would get a successor");
    if (!conflicts_.empty()) return {std::nullopt, std::move(conflicts_)};
    return {std::move(merged_), {}};
  }

 private:
  void Chunk(Range b, Range o, Range t) {
    if (Same(base_, b, ours_, o) || Same(ours_, o, theirs_, t)) {
      Append(theirs_, t);
    } else if (Same(base_, b, theirs_, t)) {
      Append(ours_, o);
    } else {
      conflicts_.push_back(fmt::format("both changed line {} of the common version", b.begin + 1));
    }
  }

  void Append(const Lines& from, Range range) {
    for (size_t i = range.begin; i < range.end; ++i) {
      broken_ = broken_ || (!merged_.empty() && merged_.back() != '\n');
      merged_ += from[i];
    }
  }

  Lines base_;
  Lines ours_;
  Lines theirs_;
  std::string merged_;
  std::vector<std::string> conflicts_;
  bool broken_ = false;
};

}  // namespace

bool LooksBinary(std::string_view content) {
  return content.substr(0, kBinaryProbe).find('\0') != std::string_view::npos;
}

MergeOutput MergeText(const MergeInput& input) {
  for (const std::string_view content : {input.base, input.ours, input.theirs}) {
    if (LooksBinary(content)) return {std::nullopt, {"not a text"}};
  }
  return Diff3(input.base, input.ours, input.theirs).Run();
}

}  // namespace mica::rebase
