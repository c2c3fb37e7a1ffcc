// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/lint_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/rebase/policies/builtin.h"
#include "tools/rebase/policy_lint.h"
#include "tools/rebase/policy_parse.h"
#include "tools/rebase_run/rebase_policy.h"

namespace mica {

namespace {

using rebase::LintFinding;
using rebase::LintLevel;

nlohmann::json ToJson(const LintFinding& finding) {
  nlohmann::json json = {{"file", finding.file},
                         {"line", finding.line},
                         {"level", rebase::LintLevelName(finding.level)},
                         {"kind", finding.kind},
                         {"message", finding.message},
                         {"help", finding.help}};
  if (!finding.rule.empty()) json["rule"] = finding.rule;
  if (!finding.other.empty()) json["other"] = finding.other;
  return json;
}

void Print(Output& output, const std::vector<LintFinding>& findings) {
  nlohmann::json counts = {{"error", 0}, {"warning", 0}, {"notice", 0}};
  for (const LintFinding& finding : findings) {
    const std::string level(rebase::LintLevelName(finding.level));
    counts[level] = counts[level].get<size_t>() + 1;
    if (output.json()) {
      output.Record(ToJson(finding));
    } else {
      output.Text(fmt::format("{}:{}: {}: {}\n    {}\n", finding.file, finding.line, level,
                              finding.message, finding.help));
    }
  }
  if (output.json()) {
    output.Record({{"summary", std::move(counts)}});
  } else {
    output.Note(fmt::format("{} errors, {} warnings, {} notices", counts["error"].dump(),
                            counts["warning"].dump(), counts["notice"].dump()));
  }
}

}  // namespace

Result<ExitStatus> RunLint(Context& context, const LintRequest& request) {
  std::vector<rebase::PolicyLayer> below;
  std::vector<rebase::PolicyText> files;
  if (request.files.empty()) {
    files.push_back({"linux.policy", std::string(rebase::kLinuxPolicyText)});
  } else {
    below.push_back(rebase::BuiltinLinuxPolicy());
  }
  for (const std::string& name : request.below) {
    ASSIGN(const std::string text, ReadPolicyText(name));
    ASSIGN(below.emplace_back(), rebase::ParsePolicy(name, text));
  }
  for (const std::string& name : request.files) {
    ASSIGN(std::string text, ReadPolicyText(name));
    files.push_back({name, std::move(text)});
  }
  const std::vector<LintFinding> findings = rebase::LintPolicies(below, files);
  Print(context.output, findings);
  const auto worst = std::ranges::max_element(findings, {}, &LintFinding::level);
  if (worst == findings.end() || worst->level == LintLevel::kNotice) return ExitStatus::kDone;
  return worst->level == LintLevel::kError ? ExitStatus::kError : ExitStatus::kConflicts;
}

}  // namespace mica
