// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/policy.h"

#include <fmt/format.h>

#include "tools/guest/path.h"
#include "tools/rebase/policy_parse.h"

namespace mica::rebase {

std::optional<Severity> Decision::severity() const {
  const PolicyRule* rule = At(PolicyKey::kSeverity).rule;
  if (rule == nullptr) return std::nullopt;
  return Get(PolicyKey::kSeverity, Severity::kInfo);
}

std::string_view Decision::merger() const {
  const PolicyRule* rule = At(PolicyKey::kBoth).rule;
  return rule == nullptr ? std::string_view() : std::string_view(rule->merger);
}

std::string Decision::Where(PolicyKey key) const {
  const Source& source = At(key);
  if (source.rule == nullptr) return {};
  return fmt::format("{}:{}: {}", source.layer->name, source.rule->line, source.rule->pattern);
}

Policy Policy::MountedAt(std::string_view mount_point) const {
  Policy policy = *this;
  policy.mount_point_ = mount_point == "/" ? std::string_view() : mount_point;
  return policy;
}

Decision Policy::Decide(std::string_view path, PathKind kind) const {
  std::string mounted;
  if (!mount_point_.empty()) {
    mounted = guest::MountedPath(mount_point_, path);
    path = mounted;
  }
  Decision decision;
  size_t open = kPolicyKeyCount;  // keys no rule has decided yet; the last rule is asked first
  std::array<bool, kPolicyKeyCount> decided{};
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    for (auto rule = layer->rules.rbegin(); rule != layer->rules.rend(); ++rule) {
      if (open == 0) return decision;
      if (!rule->glob.Matches(path, kind)) continue;
      decision.matched_ = true;
      if (rule->cancels) return decision;
      for (size_t key = 0; key < kPolicyKeyCount; ++key) {
        if (decided[key] || !rule->values[key]) continue;
        decided[key] = true;
        --open;
        decision.sources_[key] = {&*rule, &*layer};
      }
    }
  }
  return decision;
}

std::string Policy::Explain(std::string_view path, PathKind kind) const {
  const Decision decision = Decide(path, kind);
  std::string text;
  for (size_t i = 0; i < kPolicyKeyCount; ++i) {
    const auto key = static_cast<PolicyKey>(i);
    const PolicyRule* rule = decision.At(key).rule;
    if (rule == nullptr) continue;
    const uint8_t value = *rule->values[i];
    const bool merges = key == PolicyKey::kBoth && !rule->merger.empty();
    text += fmt::format("{}={}{}  {}\n", PolicyKeyName(key), PolicyValueName(key, value),
                        merges ? ":" + rule->merger : "", decision.Where(key));
  }
  return text.empty() ? "no rule matches: the defaults decide\n" : text;
}

}  // namespace mica::rebase
