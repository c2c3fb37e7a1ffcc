// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fit/fit_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/base/check.h"
#include "engine/base/lines.h"
#include "tools/guest/path.h"
#include "tools/rebase/policies/builtin.h"

namespace mica::rebase {

namespace {

using Json = nlohmann::json;

constexpr uint64_t kTextBytesMax = uint64_t{1} << 20;
constexpr uint32_t kSetIdBits = 06000;
constexpr uint32_t kExecuteBits = 0111;

constexpr std::array<std::pair<std::string_view, FitTest>, 8> kTests{
    {{"any", FitTest::kAny},
     {"added", FitTest::kAdded},
     {"changed", FitTest::kChanged},
     {"deleted", FitTest::kDeleted},
     {"executable", FitTest::kExecutable},
     {"setuid", FitTest::kSetuid},
     {"capability", FitTest::kCapability},
     {"device", FitTest::kDevice}}};

constexpr std::array<std::pair<std::string_view, FitLevel>, 3> kSeverities{
    {{"Low", FitLevel::kLow}, {"Medium", FitLevel::kMedium}, {"High", FitLevel::kHigh}}};

constexpr std::array<std::string_view, 7> kFields = {
    "RuleName", "Comment", "Severity", "RulePath", "RuleType", "RuleValue", "AllowedValues"};

template <class Value, size_t kCount>
std::optional<Value> Find(const std::array<std::pair<std::string_view, Value>, kCount>& table,
                          const std::string& name) {
  for (const auto& [known, value] : table) {
    if (known == name) return value;
  }
  return std::nullopt;
}

// Reads one rule; errors name the file and the rule.
class RuleReader {
 public:
  RuleReader(std::string_view file, const Json& json) : file_(file), json_(json) {}

  Result<FitRule> Read() {
    if (!json_.is_object()) return Bad("a rule", "something else");
    for (const auto& [field, value] : json_.items()) {
      if (std::ranges::find(kFields, field) == kFields.end()) {
        return Bad(fmt::format("the fields {}", fmt::join(kFields, ", ")), field);
      }
    }
    ASSIGN(rule_.name, Text("RuleName", std::nullopt));
    ASSIGN(rule_.comment, Text("Comment", ""));
    ASSIGN(const std::string severity, Text("Severity", std::nullopt));
    const std::optional<FitLevel> level = Find(kSeverities, severity);
    if (!level) return Bad("Severity Low, Medium or High", severity);
    rule_.severity = *level;
    TRY(ReadPaths());
    TRY(ReadTest());
    return std::move(rule_);
  }

 private:
  Error Bad(std::string_view expected, std::string_view found) const {
    const auto named = json_.is_object() ? json_.find("RuleName") : json_.end();
    const std::string name = named != json_.end() && named->is_string()
                                 ? named->get<std::string>()
                                 : std::string("without a name");
    return {Errc::kInvalidArgument,
            fmt::format("{}: rule '{}': expected {}, found '{}'", file_, name, expected, found)};
  }

  Result<std::string> Text(const char* field, std::optional<std::string> otherwise) const {
    const auto found = json_.find(field);
    if (found != json_.end() && found->is_string()) return found->get<std::string>();
    if (found == json_.end() && otherwise) return *otherwise;
    return Bad(fmt::format("a text as {}", field), found == json_.end() ? "none" : found->dump());
  }

  Result<std::vector<std::string>> Texts(const char* field) const {
    const auto found = json_.find(field);
    if (found == json_.end()) return std::vector<std::string>();
    if (found->is_string()) return std::vector<std::string>{found->get<std::string>()};
    std::vector<std::string> texts;
    for (const Json& item : *found) {
      if (!item.is_string()) return Bad(fmt::format("texts as {}", field), item.dump());
      texts.push_back(item);
    }
    return texts;
  }

  Result<void> ReadPaths() {
    ASSIGN(const std::vector<std::string> patterns, Texts("RulePath"));
    if (patterns.empty()) return Bad("a RulePath", "none");
    for (std::string_view pattern : patterns) {
      const bool except = pattern.starts_with('!');
      if (except) pattern.remove_prefix(1);
      if (!pattern.starts_with('/')) return Bad("RulePath to begin with /", pattern);
      ASSIGN(Glob glob, Glob::Parse(pattern));
      (except ? rule_.except : rule_.paths).push_back(std::move(glob));
    }
    return {};
  }

  Result<void> ReadTest() {
    ASSIGN(const std::string type, Text("RuleType", "File"));
    ASSIGN(rule_.allowed, Texts("AllowedValues"));
    if (type == "Value") {
      rule_.test = FitTest::kValue;
      ASSIGN(rule_.key, Text("RuleValue", std::nullopt));
      return {};
    }
    if (type != "File") return Bad("RuleType File or Value", type);
    ASSIGN(const std::string value, Text("RuleValue", "any"));
    const std::optional<FitTest> test = Find(kTests, value);
    if (!test) {
      return Bad("RuleValue any, added, changed, deleted, executable, setuid, capability or device",
                 value);
    }
    if (!rule_.allowed.empty()) return Bad("AllowedValues with RuleType Value only", "File");
    rule_.test = *test;
    return {};
  }

  std::string_view file_;
  const Json& json_;
  FitRule rule_;
};

// The last value of `key` in KEY=VALUE and KEY VALUE lines; "#" begins a comment.
std::optional<std::string> ValueOf(std::string_view text, std::string_view key) {
  constexpr std::string_view kBlank = " \t\r";
  const auto trim = [kBlank](std::string_view part) {
    const size_t first = part.find_first_not_of(kBlank);
    if (first == std::string_view::npos) return std::string_view();
    return part.substr(first, part.find_last_not_of(kBlank) - first + 1);
  };
  std::optional<std::string> value;
  while (!text.empty()) {
    const std::string_view whole = TakeLine(text);
    const std::string_view line = trim(whole.substr(0, whole.find('#')));
    if (!line.starts_with(key)) continue;
    const std::string_view rest = line.substr(key.size());
    const std::string_view after = trim(rest);
    if (after.empty() || (rest == after && !after.starts_with('='))) continue;
    std::string_view found = trim(after.starts_with('=') ? after.substr(1) : after);
    if (found.size() >= 2 && found.front() == '"' && found.back() == '"') {
      found = found.substr(1, found.size() - 2);
    }
    value = std::string(found);
  }
  return value;
}

// What of one change a rule speaks of; empty: it does not.
class Examination {
 public:
  Examination(const guest::ChangedObject& change, guest::Volume& ours)
      : change_(change), ours_(ours) {}

  Result<std::optional<std::string>> Under(const FitRule& rule) {
    if (rule.test == FitTest::kDeleted) return When(!change_.after, "deleted");
    if (!change_.after) return std::optional<std::string>();
    const guest::Object& now = *change_.after;
    const uint32_t mode = now.attributes.mode;
    switch (rule.test) {
      case FitTest::kAdded:
        return When(!change_.before, "added");
      case FitTest::kChanged:
        return When(change_.before && change_.content_changed, "changed");
      case FitTest::kExecutable:
        return When(IsFile() && NewContent() && (mode & kExecuteBits) != 0, "executable");
      case FitTest::kSetuid:
        return When(IsFile() && (mode & kSetIdBits) != 0,
                    fmt::format("mode {:04o} of user {}", mode, now.attributes.uid));
      case FitTest::kCapability:
        return When(now.attributes.xattrs.contains("security.capability"), "file capability");
      case FitTest::kDevice:
        return When(now.kind == guest::ObjectKind::kCharDevice ||
                        now.kind == guest::ObjectKind::kBlockDevice,
                    fmt::format("device {}:{}", now.device_major, now.device_minor));
      case FitTest::kValue:
        return Value(rule);
      default:
        return When(true, change_.before ? "changed" : "added");
    }
  }

 private:
  static std::optional<std::string> When(bool found, std::string what) {
    return found ? std::optional(std::move(what)) : std::nullopt;
  }
  [[nodiscard]] bool IsFile() const { return change_.after->kind == guest::ObjectKind::kRegular; }
  [[nodiscard]] bool NewContent() const { return !change_.before || change_.content_changed; }

  Result<std::optional<std::string>> Value(const FitRule& rule) {
    if (!IsFile() || change_.after->size > kTextBytesMax) return std::optional<std::string>();
    ASSIGN(const std::string text, guest::ReadWhole(ours_, change_.after->id.inode, kTextBytesMax));
    const std::optional<std::string> value = ValueOf(text, rule.key);
    if (!value || std::ranges::find(rule.allowed, *value) != rule.allowed.end()) {
      return std::optional<std::string>();
    }
    return std::optional(rule.key + "=" + *value);
  }

  const guest::ChangedObject& change_;
  guest::Volume& ours_;
};

}  // namespace

bool FitRule::Matches(std::string_view path, PathKind kind) const {
  const auto matches = [&](const Glob& glob) { return glob.Matches(path, kind); };
  return std::ranges::any_of(paths, matches) && std::ranges::none_of(except, matches);
}

Result<std::vector<FitRule>> ParseFitRules(std::string_view file, std::string_view text) {
  const Json json = Json::parse(text, nullptr, false, true);
  if (!json.is_array()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: expected a JSON list of fit rules, found something else", file)};
  }
  std::vector<FitRule> rules;
  for (const Json& item : json) {
    ASSIGN(FitRule rule, RuleReader(file, item).Read());
    rules.push_back(std::move(rule));
  }
  return rules;
}

const std::vector<FitRule>& BuiltinLinuxFitRules() {
  static const std::vector<FitRule> rules = [] {
    Result<std::vector<FitRule>> parsed = ParseFitRules("linux.fit.json", kLinuxFitRulesText);
    MICA_CHECK(parsed.has_value());
    return std::move(*parsed);
  }();
  return rules;
}

Result<std::vector<FitFinding>> FindFits(const std::vector<FitRule>& rules,
                                         const guest::ChangeSet& changes, guest::Volume& ours,
                                         std::string_view mount_point) {
  std::vector<FitFinding> findings;
  for (const FitRule& rule : rules) {
    for (const guest::ChangedObject& change : changes.objects) {
      const guest::Object& object = change.after ? *change.after : *change.before;
      const PathKind kind =
          object.kind == guest::ObjectKind::kDirectory ? PathKind::kDirectory : PathKind::kOther;
      for (const guest::Name& name : change.after ? change.names_after : change.names_before) {
        const std::string path = guest::MountedPath(mount_point, name.path);
        if (!rule.Matches(path, kind)) continue;
        ASSIGN(std::optional<std::string> value, Examination(change, ours).Under(rule));
        if (value) findings.push_back(FitFinding{&rule, path, std::move(*value)});
      }
    }
  }
  return findings;
}

}  // namespace mica::rebase
