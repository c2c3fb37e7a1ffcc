// SPDX-License-Identifier: Apache-2.0
// The planner: joins what the VM did (ours) with what the patch did (theirs) by the merge table of
// docs and the policy, and says what the result shall be. A pure function of its inputs; it reads
// the volumes (package lists, and content where both sides changed a file) and writes nothing.
//
// It promises that no change of ours is lost silently: each one is in the plan or has a report
// entry that says what became of it; a plan for which that is not so is refused (coverage.h).
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/change_set.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"
#include "tools/rebase/guest_facts.h"
#include "tools/rebase/id_map.h"
#include "tools/rebase/lineage.h"
#include "tools/rebase/policy.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

// All borrowed for the time of the call.
struct PlanInput {
  const guest::ChangeSet& ours;    // old master -> VM
  const guest::ChangeSet& theirs;  // old master -> new master
  guest::Volume& base_volume;      // old master
  guest::Volume& our_volume;       // VM
  guest::Volume& their_volume;     // new master, the plan's target
  const Lineage& their_lineage;    // old master -> new master; the VM always keeps inodes
  const Policy& policy;
  // What the volume with the account databases gave new numbers to; null: this is that volume.
  const IdMap* renumbered = nullptr;
  // Of a guest with several volumes, and where this one is mounted; null: this is all there is.
  const GuestFacts* guest = nullptr;
  std::string mount_point;
};

// A losing version whose bytes whoever carries out the plan stores outside the image.
struct RescueItem {
  Side side = Side::kOurs;
  uint64_t inode = 0;  // in the volume of `side`
  std::string path;    // of that version
};

struct PlanOutcome {
  guest::Plan plan;
  Report report;
  std::vector<RescueItem> rescues;
  std::vector<std::string> regenerate;  // paths the guest has to rebuild
  IdMap ids;                            // accounts with new numbers
};

// kCorrupt when a change set contradicts itself or the volumes, or when coverage fails; errors of
// the volumes as they come.
Result<PlanOutcome> MakePlan(const PlanInput& input);

}  // namespace mica::rebase
