// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/merge_names.h"

#include <algorithm>
#include <vector>

namespace mica::rebase {
namespace {

using Slots = std::vector<Slot>;

bool Has(const Slots& slots, const Slot& slot) {
  return std::ranges::binary_search(slots, slot);
}

// What `from` has and neither of the others has.
bool HasOwn(const Slots& from, const Slots& a, const Slots& b) {
  return std::ranges::any_of(from,
                             [&](const Slot& slot) { return !Has(a, slot) && !Has(b, slot); });
}

}  // namespace

void MergeNames(MergeItem& item) {
  Node& node = item.node;
  static const Slots kNone;
  const Slots& base = node.base ? node.base->slots : kNone;
  const Slots& ours = node.ours().view->slots;
  const Slots& theirs = node.theirs().view->slots;
  Slots all;
  std::ranges::set_union(ours, theirs, std::back_inserter(all));
  Slots merged;
  for (const Slot& slot : all) {
    const bool kept = Has(ours, slot) && Has(theirs, slot);
    if (kept || !Has(base, slot)) merged.push_back(slot);
  }
  const Severity severity = item.decision.severity().value_or(Severity::kWarn);
  const bool renamed_differently =
      HasOwn(ours, base, theirs) && HasOwn(theirs, base, ours) && HasOwn(base, ours, theirs);
  const bool directory = node.kind() == guest::ObjectKind::kDirectory;
  if (renamed_differently) {
    item.Raise(severity, directory ? "renamed differently by both; the VM's name taken"
                                   : "renamed differently by both; has both names");
  }
  if (directory && merged.size() > 1) merged = ours;
  node.result.present = true;
  if (merged.empty() && node.ours().change.content) {
    merged = ours;
    item.Raise(severity, "each side removed the other's name; kept for its new content");
  } else if (merged.empty() && node.theirs().change.content) {
    merged = theirs;
    item.Raise(severity, "each side removed the other's name; kept for its new content");
  } else if (merged.empty()) {
    node.result.present = false;
    item.Note(Action::kRemoved, Severity::kNotice, "each side removed the other's name");
  }
  node.result.slots = std::move(merged);
}

}  // namespace mica::rebase
