// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/alternatives.h"

#include <fmt/format.h>

#include <charconv>

#include "tools/rebase/mergers/records.h"
#include "tools/rebase/mergers/three_way.h"

namespace mica::rebase {
namespace {

int Priority(const std::string& text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Three-way merge of maps, entry by entry; where both changed one, ours is taken and `conflict`
// told.
template <class Value, class Conflict>
std::map<std::string, Value> MergeMaps(const std::map<std::string, Value>& base,
                                       const std::map<std::string, Value>& ours,
                                       const std::map<std::string, Value>& theirs,
                                       const Conflict& conflict) {
  auto get = [](const std::map<std::string, Value>& map, const std::string& key) {
    const auto at = map.find(key);
    return at == map.end() ? std::optional<Value>() : std::optional<Value>(at->second);
  };
  std::map<std::string, Value> all = ours;
  all.insert(theirs.begin(), theirs.end());
  std::map<std::string, Value> merged;
  for (const auto& [key, unused] : all) {
    const auto ours_value = get(ours, key);
    const auto value = ThreeWay(get(base, key), ours_value, get(theirs, key));
    if (!value) conflict(key);
    const std::optional<Value>& chosen = value ? *value : ours_value;
    if (chosen) merged.emplace(key, *chosen);
  }
  return merged;
}

class LineReader {
 public:
  explicit LineReader(std::string_view text) : lines_(SplitText(text, "\n")) {}
  // A line that must be there.
  std::string Take() {
    if (next_ < lines_.size()) return lines_[next_++];
    failed_ = true;
    return {};
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::vector<std::string> lines_;
  size_t next_ = 0;
  bool failed_ = false;
};

}  // namespace

std::optional<AlternativeGroup> AlternativeGroup::Parse(std::string_view text) {
  AlternativeGroup group;
  if (text.empty()) return group;
  LineReader lines(text);
  group.mode = lines.Take();
  group.link = lines.Take();
  std::vector<std::string> names;
  for (std::string name = lines.Take(); !name.empty(); name = lines.Take()) {
    names.push_back(name);
    group.slaves[name] = lines.Take();
  }
  for (std::string path = lines.Take(); !path.empty(); path = lines.Take()) {
    AlternativeChoice choice;
    choice.priority = lines.Take();
    for (const std::string& name : names) {
      std::string slave = lines.Take();
      if (!slave.empty()) choice.slaves[name] = std::move(slave);
    }
    group.choices[path] = std::move(choice);
  }
  if (lines.failed() || (group.mode != "auto" && group.mode != "manual")) return std::nullopt;
  return group;
}

std::string AlternativeGroup::Format() const {
  std::string text = fmt::format("{}\n{}\n", mode, link);
  for (const auto& [name, slave_link] : slaves) text += fmt::format("{}\n{}\n", name, slave_link);
  text += "\n";
  for (const auto& [path, choice] : choices) {
    text += fmt::format("{}\n{}\n", path, choice.priority);
    for (const auto& [name, unused] : slaves) {
      const auto slave = choice.slaves.find(name);
      text += (slave == choice.slaves.end() ? "" : slave->second) + "\n";
    }
  }
  return text + "\n";
}

std::string AlternativeGroup::Best() const {
  std::string best;
  for (const auto& [path, choice] : choices) {
    if (best.empty() || Priority(choice.priority) > Priority(choices.at(best).priority)) {
      best = path;
    }
  }
  return best;
}

MergeOutput MergeAlternatives(const MergeInput& input) {
  const auto base = AlternativeGroup::Parse(input.base);
  const auto ours = AlternativeGroup::Parse(input.ours);
  const auto theirs = AlternativeGroup::Parse(input.theirs);
  if (!base || !ours || !theirs) return {std::nullopt, {"not a group of alternatives"}};
  MergeOutput output;
  auto conflict = [&](const std::string& what) {
    output.conflicts.push_back(fmt::format("{}: changed by both; ours taken", what));
  };
  AlternativeGroup merged;
  const auto mode = ThreeWay(base->mode, ours->mode, theirs->mode);
  const auto link = ThreeWay(base->link, ours->link, theirs->link);
  if (!mode) conflict("mode");
  if (!link) conflict("link");
  merged.mode = mode.value_or(ours->mode);
  merged.link = link.value_or(ours->link);
  merged.slaves = MergeMaps(base->slaves, ours->slaves, theirs->slaves, conflict);
  merged.choices = MergeMaps(base->choices, ours->choices, theirs->choices, conflict);
  output.merged = merged.Format();
  return output;
}

}  // namespace mica::rebase
