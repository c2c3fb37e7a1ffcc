// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/policy_lint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>

#include "tools/rebase/glob_compare.h"
#include "tools/rebase/policy_parse.h"

namespace mica::rebase {
namespace {

constexpr size_t At(PolicyKey key) {
  return static_cast<size_t>(key);
}

// One rule of the stack.
struct Placed {
  const PolicyLayer* layer = nullptr;
  const PolicyRule* rule = nullptr;
  bool judged = false;

  [[nodiscard]] bool Has(PolicyKey key) const { return rule->values[At(key)].has_value(); }
  template <class Value>
  [[nodiscard]] bool Is(PolicyKey key, Value value) const {
    return rule->values[At(key)] == static_cast<uint8_t>(value);
  }
  // Asked about the key, it ends the search.
  [[nodiscard]] bool Ends(size_t key) const { return rule->cancels || rule->values[key]; }
  [[nodiscard]] bool SaysTheSame(const Placed& other, size_t key) const {
    return !rule->cancels && rule->values[key] == other.rule->values[key] &&
           (key != At(PolicyKey::kBoth) || rule->merger == other.rule->merger);
  }
  [[nodiscard]] std::string Where() const { return fmt::format("{}:{}", layer->name, rule->line); }
};

std::string KeyNames(const std::vector<size_t>& keys) {
  std::vector<std::string> names;
  for (const size_t key : keys) {
    names.push_back(fmt::format("{}=", PolicyKeyName(static_cast<PolicyKey>(key))));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<size_t> KeysOf(const PolicyRule& rule) {
  std::vector<size_t> keys;
  for (size_t key = 0; key < kPolicyKeyCount; ++key) {
    if (rule.values[key]) keys.push_back(key);
  }
  return keys;
}

bool SameRule(const Placed& a, const Placed& b) {
  return a.rule->pattern == b.rule->pattern && a.rule->values == b.rule->values &&
         a.rule->merger == b.rule->merger;
}

class Linter {
 public:
  Linter(std::span<const PolicyLayer> below, std::span<const PolicyText> files) {
    for (const PolicyLayer& layer : below) Place(layer, false);
    lines_.reserve(files.size());  // rules are pointed at
    for (const PolicyText& file : files) {
      const PolicyLines& lines = lines_.emplace_back(ParsePolicyLines(file.name, file.text));
      Place(lines.layer, true);
    }
  }

  std::vector<LintFinding> Run() {
    size_t next = FirstJudged();
    for (const PolicyLines& lines : lines_) {
      const size_t before = findings_.size();
      for (const PolicyProblem& problem : lines.problems) TellProblem(lines.layer, problem);
      for (size_t left = lines.layer.rules.size(); left > 0; --left) Judge(next++);
      std::ranges::stable_sort(findings_.begin() + static_cast<ptrdiff_t>(before), findings_.end(),
                               {}, &LintFinding::line);
    }
    return std::move(findings_);
  }

 private:
  void Place(const PolicyLayer& layer, bool judged) {
    for (const PolicyRule& rule : layer.rules) rules_.push_back({&layer, &rule, judged});
  }

  [[nodiscard]] size_t FirstJudged() const {
    return static_cast<size_t>(std::ranges::find(rules_, true, &Placed::judged) - rules_.begin());
  }

  void TellProblem(const PolicyLayer& layer, const PolicyProblem& problem) {
    LintFinding finding;
    finding.level = LintLevel::kError;
    finding.kind = "syntax";
    finding.file = layer.name;
    finding.line = problem.line;
    finding.message = problem.error.message;
    finding.help =
        "a rule is PATTERN KEY=VALUE ..., or !PATTERN; the built-in policy "
        "(linux.policy) explains the words";
    findings_.push_back(std::move(finding));
  }

  LintFinding& Tell(const Placed& placed, LintLevel level, std::string_view kind) {
    LintFinding& finding = findings_.emplace_back();
    finding.level = level;
    finding.kind = kind;
    finding.file = placed.layer->name;
    finding.line = placed.rule->line;
    finding.rule = placed.rule->pattern;
    return finding;
  }

  // One finding a rule about how it stands to others: the first that applies.
  void Judge(size_t index) {
    const Placed& placed = rules_[index];
    if (MatchesNothing(placed.rule->glob)) {
      LintFinding& finding = Tell(placed, LintLevel::kWarning, "no-path");
      finding.message = fmt::format("expected a pattern that some path can match, found \"{}\"",
                                    placed.rule->pattern);
      finding.help =
          "paths are absolute, without \"//\", \".\" and \"..\"; a \"/\" at the end of a "
          "pattern means directories only";
      return;
    }
    JudgeKeys(placed);
    if (placed.rule->cancels) {
      JudgeCancel(index);
    } else if (!TellShadowed(index)) {
      TellRepeats(index);
    }
  }

  // --- One rule by itself

  void JudgeKeys(const Placed& placed) {
    if (placed.rule->glob.directories_only()) TellNoContent(placed);
    const bool drops = placed.Is(PolicyKey::kOne, OneSided::kDrop) ||
                       placed.Is(PolicyKey::kOne, OneSided::kRegenerate);
    if (drops) TellDropped(placed);
    if (placed.Is(PolicyKey::kBoth, BothChanged::kKeepBoth) && placed.Has(PolicyKey::kSave) &&
        !placed.Has(PolicyKey::kDelMod)) {
      Contradiction(placed,
                    "both=keep-both puts the new master's version beside the file; save= is "
                    "not asked",
                    "leave out save=, or write both=ours save=beside");
    }
    const bool fails = placed.Is(PolicyKey::kBoth, BothChanged::kFail) ||
                       placed.Is(PolicyKey::kDelMod, DeleteModify::kFail);
    const std::optional<uint8_t>& severity = placed.rule->values[At(PolicyKey::kSeverity)];
    if (fails && severity && *severity < static_cast<uint8_t>(Severity::kError)) {
      Contradiction(placed,
                    fmt::format("\"fail\" asks for an error, and sev={} makes less of it: the "
                                "result would not be quarantined",
                                PolicyValueName(PolicyKey::kSeverity, *severity)),
                    "leave out sev=, or write both=ours instead of both=fail");
    }
  }

  void TellNoContent(const Placed& placed) {
    std::vector<size_t> unused;
    for (const PolicyKey key : {PolicyKey::kBoth, PolicyKey::kSave}) {
      if (placed.Has(key)) unused.push_back(At(key));
    }
    if (unused.empty()) return;
    LintFinding& finding = Tell(placed, LintLevel::kWarning, "no-use");
    finding.message = fmt::format(
        "{} decides about content, and a pattern that ends in \"/\" "
        "matches directories, which have none",
        KeyNames(unused));
    finding.help = "for what is inside, write the pattern with \"**\" at its end";
  }

  void TellDropped(const Placed& placed) {
    std::vector<size_t> unused;
    for (const PolicyKey key : {PolicyKey::kBoth, PolicyKey::kDelMod, PolicyKey::kMeta}) {
      if (placed.Has(key)) unused.push_back(At(key));
    }
    if (unused.empty()) return;
    Contradiction(
        placed,
        fmt::format("one={} drops whatever the VM did, also where both sides changed the "
                    "object; {} is not asked",
                    PolicyValueName(PolicyKey::kOne, *placed.rule->values[At(PolicyKey::kOne)]),
                    KeyNames(unused)),
        fmt::format("leave out one=, or leave out {}", KeyNames(unused)));
  }

  void Contradiction(const Placed& placed, std::string message, std::string help) {
    LintFinding& finding = Tell(placed, LintLevel::kWarning, "contradiction");
    finding.message = std::move(message);
    finding.help = std::move(help);
  }

  // --- Rules before and after

  void JudgeCancel(size_t index) {
    const Placed& placed = rules_[index];
    for (size_t before = 0; before < index; ++before) {
      if (Overlap(rules_[before].rule->glob, placed.rule->glob)) return;
    }
    LintFinding& finding = Tell(placed, LintLevel::kWarning, "takes-nothing-back");
    finding.message = fmt::format("expected rules before \"{}\" that it takes back, found none",
                                  placed.rule->pattern);
    finding.help = "it has to come after the rules it takes back, in the same file or a later one";
  }

  // The next rule that decides the key for all that `index` matches.
  [[nodiscard]] std::optional<size_t> CoveredBy(size_t index, size_t key) const {
    for (size_t after = index + 1; after < rules_.size(); ++after) {
      if (rules_[after].Ends(key) && Covers(rules_[after].rule->glob, rules_[index].rule->glob)) {
        return after;
      }
    }
    return std::nullopt;
  }

  // Whether the rule as a whole can never decide.
  bool TellShadowed(size_t index) {
    const Placed& placed = rules_[index];
    const std::vector<size_t> keys = KeysOf(*placed.rule);
    std::vector<size_t> dead;
    size_t by = 0;
    for (const size_t key : keys) {
      const std::optional<size_t> covered = CoveredBy(index, key);
      if (!covered) continue;
      dead.push_back(key);
      by = std::max(by, *covered);
    }
    if (dead.empty()) return false;
    const Placed& other = rules_[by];
    const bool whole = dead.size() == keys.size();
    const bool same = SameRule(placed, other);
    // Another file is there to have another say.
    const bool meant = !whole || other.layer != placed.layer;
    LintFinding& finding = Tell(placed, meant ? LintLevel::kNotice : LintLevel::kWarning,
                                same ? "duplicate" : "shadowed");
    finding.other = other.Where();
    finding.message =
        same ? fmt::format("the same rule stands in {}", other.Where())
             : fmt::format(
                   "{} can never decide here: {} ({}) comes later, matches all of \"{}\" "
                   "and {}",
                   KeyNames(dead), other.Where(), other.rule->pattern, placed.rule->pattern,
                   other.rule->cancels ? "takes it back" : "sets it as well");
    finding.help = same ? "remove one of them"
                        : "the last rule that matches wins: put the narrower one behind the wider, "
                          "or remove it";
    return whole;
  }

  // The rule before that would decide the key for all that `index` matches, if there is just one.
  [[nodiscard]] std::optional<size_t> DecidedBelow(size_t index, size_t key) const {
    for (size_t before = index; before-- > 0;) {
      const Placed& placed = rules_[before];
      if (!placed.Ends(key) || !Overlap(placed.rule->glob, rules_[index].rule->glob)) continue;
      const bool decides =
          !placed.rule->cancels && Covers(placed.rule->glob, rules_[index].rule->glob);
      return decides ? std::optional(before) : std::nullopt;
    }
    return std::nullopt;
  }

  void TellRepeats(size_t index) {
    const Placed& placed = rules_[index];
    size_t by = 0;
    for (const size_t key : KeysOf(*placed.rule)) {
      const std::optional<size_t> below = DecidedBelow(index, key);
      if (!below || !rules_[*below].SaysTheSame(placed, key)) return;
      by = std::max(by, *below);
    }
    // Twins that are both judged have been told of the first.
    if (rules_[by].judged && SameRule(rules_[by], placed)) return;
    LintFinding& finding = Tell(placed, LintLevel::kNotice, "repeats");
    finding.other = rules_[by].Where();
    finding.message = fmt::format("{} ({}) says the same already, of all that \"{}\" matches",
                                  finding.other, rules_[by].rule->pattern, placed.rule->pattern);
    finding.help = "it can be left out";
  }

  std::vector<PolicyLines> lines_;
  std::vector<Placed> rules_;
  std::vector<LintFinding> findings_;
};

}  // namespace

std::vector<LintFinding> LintPolicies(std::span<const PolicyLayer> below,
                                      std::span<const PolicyText> files) {
  return Linter(below, files).Run();
}

std::string_view LintLevelName(LintLevel level) {
  static constexpr std::array<std::string_view, 3> kNames = {"notice", "warning", "error"};
  return kNames[static_cast<size_t>(level)];
}

}  // namespace mica::rebase
