// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/testing/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tools/rebase/policy_parse.h"
#include "tools/rebase/testing/plan_applier.h"

namespace mica::rebase {

const ReportEntry* RebaseResult::FindEntry(std::string_view path, Topic topic) const {
  for (const ReportEntry& entry : outcome.report.entries()) {
    if (entry.topic != topic) continue;
    if (entry.path == path) return &entry;
    if (std::ranges::find(entry.other_paths, path) != entry.other_paths.end()) return &entry;
  }
  return nullptr;
}

const ReportEntry& RebaseResult::Entry(std::string_view path) const {
  static const ReportEntry kNone;
  const ReportEntry* entry = FindEntry(path);
  EXPECT_NE(entry, nullptr) << "no entry for " << path;
  return entry == nullptr ? kNone : *entry;
}

void Scenario::Branch() {
  ours = base;
  ours.SetClock(5000);
  theirs = base;
  theirs.SetClock(8000);
}

Result<RebaseResult> Scenario::TryRebase(const Policy& policy) {
  const guest::ChangeSet our_changes = DiffTrees(base, ours);
  const guest::ChangeSet their_changes = DiffTrees(base, theirs);
  FakeVolume base_volume(base);
  FakeVolume our_volume(ours);
  FakeVolume their_volume(theirs);
  const SameInodeLineage lineage;
  ASSIGN(PlanOutcome outcome, MakePlan({our_changes, their_changes, base_volume, our_volume,
                                        their_volume, lineage, policy}));
  ASSIGN(FakeTree tree, ApplyPlan(outcome.plan, ours, theirs));
  return RebaseResult{std::move(tree), std::move(outcome)};
}

RebaseResult Scenario::Rebase(std::string_view policy_text) {
  Policy policy;
  auto layer = ParsePolicy("test", policy_text);
  EXPECT_TRUE(layer.has_value()) << layer.error().message;
  if (layer) policy.Push(*std::move(layer));
  auto result = TryRebase(policy);
  EXPECT_TRUE(result.has_value()) << result.error().message;
  return result ? *std::move(result) : RebaseResult();
}

}  // namespace mica::rebase
