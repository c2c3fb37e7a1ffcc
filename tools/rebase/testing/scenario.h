// SPDX-License-Identifier: Apache-2.0
// A rebase in memory, for tests: three trees, the plan made from them and the tree it results in.
#pragma once

#include <string_view>

#include "tools/rebase/planner.h"
#include "tools/rebase/testing/fake_tree.h"

namespace mica::rebase {

struct RebaseResult {
  FakeTree tree;
  PlanOutcome outcome;

  // The entry about the path; fails the test when there is none.
  [[nodiscard]] const ReportEntry& Entry(std::string_view path) const;
  [[nodiscard]] const ReportEntry* FindEntry(std::string_view path,
                                             Topic topic = Topic::kObject) const;
};

class Scenario {
 public:
  // Makes ours and theirs copies of the base, with clocks that are apart.
  void Branch();
  // Plans and applies. Fails the test on an error. `policy_text` is stacked over no built-in
  // policy.
  RebaseResult Rebase(std::string_view policy_text = "");
  Result<RebaseResult> TryRebase(const Policy& policy);

  FakeTree base;
  FakeTree ours;
  FakeTree theirs;
};

}  // namespace mica::rebase
