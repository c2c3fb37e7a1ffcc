// SPDX-License-Identifier: Apache-2.0
// One object being decided: the node, what the policy and its package say of it, and the report
// entry as it grows.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/rebase/content.h"
#include "tools/rebase/decide.h"
#include "tools/rebase/forced_sides.h"
#include "tools/rebase/merge_graph.h"
#include "tools/rebase/policy.h"

namespace mica::rebase {

struct MergeItem {
  Node& node;
  Decision decision;
  const ForcedSide* forced = nullptr;
  ReportEntry entry;
  bool noted = false;              // the entry shall be reported
  bool ours_content_lost = false;  // theirs is active although ours had changed the content

  void Note(Action action, Severity severity, std::string_view detail);
  // Adds a detail, and at least this severity.
  void Raise(Severity severity, std::string_view detail);
  // Records where the losing version goes, as the policy has it. Directories have nothing to save.
  void SaveLoser(MergeScene& scene, Side loser);
  // The node's object in one version; it must have one there.
  [[nodiscard]] FileRef File(const MergeScene& scene, Version version) const;
};

}  // namespace mica::rebase
