// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_policy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <iterator>

#include "engine/digest.h"
#include "tools/rebase/policies/builtin.h"
#include "tools/rebase/policy_parse.h"

namespace mica {

namespace {

Result<std::string> ReadText(const std::string& name, std::string_view what) {
  std::ifstream file(name, std::ios::binary);
  if (!file) return ErrnoError(errno, fmt::format("{}: cannot be read as {}", name, what));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

Result<std::string> ReadPolicyText(const std::string& file) {
  return ReadText(file, "a policy");
}

Result<rebase::Policy> LoadPolicy(const std::vector<std::string>& files) {
  rebase::Policy policy;
  policy.Push(rebase::BuiltinLinuxPolicy());
  for (const std::string& name : files) {
    ASSIGN(const std::string text, ReadPolicyText(name));
    ASSIGN(rebase::PolicyLayer layer, rebase::ParsePolicy(name, text));
    policy.Push(std::move(layer));
  }
  return policy;
}

Result<std::string> PolicyDigest(const std::vector<std::string>& files) {
  StreamDigest digest;
  digest.Update(AsBytes(rebase::kLinuxPolicyText));
  for (const std::string& name : files) {
    ASSIGN(const std::string text, ReadPolicyText(name));
    digest.Update(AsBytes(fmt::format("{} bytes\n", text.size())));
    digest.Update(AsBytes(text));
  }
  return fmt::format("{:02x}", fmt::join(digest.Finish(), ""));
}

Result<std::vector<rebase::FitRule>> LoadFitRules(const std::vector<std::string>& files) {
  std::vector<rebase::FitRule> rules = rebase::BuiltinLinuxFitRules();
  for (const std::string& name : files) {
    ASSIGN(const std::string text, ReadText(name, "fit rules"));
    ASSIGN(const std::vector<rebase::FitRule> more, rebase::ParseFitRules(name, text));
    rules.insert(rules.end(), more.begin(), more.end());
  }
  return rules;
}

}  // namespace mica
