// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/policy_parse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "engine/base/lines.h"
#include "tools/rebase/mergers/registry.h"
#include "tools/rebase/policies/builtin.h"

namespace mica::rebase {
namespace {

struct KeyWords {
  std::string_view name;
  std::vector<std::string_view> values;  // in the order of the enum
};

// In the order of PolicyKey. "merge" and "unit" are written merge:NAME and unit:package.
const std::vector<KeyWords>& Words() {
  static const std::vector<KeyWords> words = {
      {"one", {"normal", "drop", "regen", "keep"}},
      {"both", {"auto", "ours", "theirs", "newer", "keep-both", "merge", "unit:package", "fail"}},
      {"delmod", {"keep-modified", "delete", "fail"}},
      {"type", {"fail", "ours", "theirs"}},
      {"meta", {"merge", "ours", "theirs"}},
      {"save", {"none", "beside", "rescue"}},
      {"sev", {kSeverityNames.begin(), kSeverityNames.end()}},
  };
  return words;
}

constexpr bool IsBlank(char byte) {
  return byte == ' ' || byte == '\t' || byte == '\r';
}

void SkipBlanks(std::string_view& line) {
  while (!line.empty() && IsBlank(line.front())) line.remove_prefix(1);
}

std::string_view TakeWord(std::string_view& line) {
  size_t end = 0;
  while (end < line.size() && !IsBlank(line[end])) end += line[end] == '\\' ? 2 : 1;
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(word.size());
  return word;
}

Result<std::string_view> TakePattern(std::string_view& line) {
  if (line.front() != '"') return TakeWord(line);
  const size_t end = line.find('"', 1);
  if (end == std::string_view::npos) {
    return Error{Errc::kInvalidArgument, "expected a closing quote after the pattern"};
  }
  const std::string_view pattern = line.substr(1, end - 1);
  line.remove_prefix(end + 1);
  return pattern;
}

Result<void> SetMerger(PolicyRule& rule, std::string_view name) {
  if (FindMerger(name) == nullptr) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("expected merge:NAME with NAME one of {}, found \"{}\"",
                             fmt::join(MergerNames(), "|"), name)};
  }
  rule.merger = name;
  return {};
}

Result<void> SetKey(PolicyRule& rule, std::string_view word) {
  const size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  std::vector<std::string_view> names;
  for (size_t key = 0; key < Words().size(); ++key) {
    const KeyWords& words = Words()[key];
    names.push_back(words.name);
    if (equals == std::string_view::npos || name != words.name) continue;
    if (rule.values[key]) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("expected each key once, found \"{}\" a second time", word)};
    }
    std::string_view value = word.substr(equals + 1);
    if (words.name == "both" && value.starts_with("merge:")) {
      TRY(SetMerger(rule, value.substr(6)));
      value = "merge";
    } else if (value == "merge" && words.name == "both") {
      return SetMerger(rule, "");
    }
    for (size_t i = 0; i < words.values.size(); ++i) {
      if (words.values[i] == value) {
        rule.values[key] = static_cast<uint8_t>(i);
        return {};
      }
    }
    return Error{Errc::kInvalidArgument, fmt::format("expected {}={}, found \"{}\"", name,
                                                     fmt::join(words.values, "|"), value)};
  }
  return Error{Errc::kInvalidArgument,
               fmt::format("expected KEY=VALUE with KEY one of {}, found \"{}\"",
                           fmt::join(names, "|"), word)};
}

Result<PolicyRule> ParseRule(std::string_view line) {
  PolicyRule rule;
  if (line.front() == '!') {
    rule.cancels = true;
    line.remove_prefix(1);
    SkipBlanks(line);
  }
  if (line.empty()) return Error{Errc::kInvalidArgument, "expected a pattern after \"!\""};
  ASSIGN(const std::string_view pattern, TakePattern(line));
  if (!pattern.starts_with('/') && !pattern.starts_with("**")) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("expected a pattern that begins with \"/\" or \"**\", found \"{}\"", pattern)};
  }
  ASSIGN(rule.glob, Glob::Parse(pattern));
  rule.pattern = (rule.cancels ? "!" : "") + std::string(pattern);
  bool any = false;
  for (SkipBlanks(line); !line.empty(); SkipBlanks(line)) {
    TRY(SetKey(rule, TakeWord(line)));
    any = true;
  }
  if (any == rule.cancels) {
    return Error{Errc::kInvalidArgument,
                 rule.cancels
                     ? "expected nothing after \"!PATTERN\""
                     : fmt::format("expected KEY=VALUE after \"{}\", found nothing", pattern)};
  }
  return rule;
}

}  // namespace

PolicyLines ParsePolicyLines(std::string_view name, std::string_view text) {
  PolicyLines lines;
  lines.layer.name = name;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = TakeLine(text);
    while (!line.empty() && IsBlank(line.back()) && !line.ends_with("\\ ")) line.remove_suffix(1);
    SkipBlanks(line);
    if (line.empty() || line.front() == '#') continue;
    auto rule = ParseRule(line);
    if (!rule) {
      lines.problems.push_back({number, std::move(rule).error()});
      continue;
    }
    rule->line = number;
    lines.layer.rules.push_back(*std::move(rule));
  }
  return lines;
}

Result<PolicyLayer> ParsePolicy(std::string_view name, std::string_view text) {
  PolicyLines lines = ParsePolicyLines(name, text);
  if (lines.problems.empty()) return std::move(lines.layer);
  PolicyProblem& first = lines.problems.front();
  return std::move(first.error).WithContext(fmt::format("{}:{}", name, first.line));
}

std::string_view PolicyKeyName(PolicyKey key) {
  return Words()[static_cast<size_t>(key)].name;
}

std::string_view PolicyValueName(PolicyKey key, uint8_t value) {
  return Words()[static_cast<size_t>(key)].values[value];
}

const PolicyLayer& BuiltinLinuxPolicy() {
  // Parsed once. That it parses is a unit test, so an empty layer is never seen.
  static const PolicyLayer layer =
      ParsePolicy("linux.policy", kLinuxPolicyText).value_or(PolicyLayer());
  return layer;
}

}  // namespace mica::rebase
