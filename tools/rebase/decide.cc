// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/decide.h"

#include <algorithm>
#include <set>

#include "tools/guest/path.h"
#include "tools/rebase/content.h"
#include "tools/rebase/merge_attributes.h"
#include "tools/rebase/merge_content.h"
#include "tools/rebase/merge_item.h"
#include "tools/rebase/merge_names.h"

namespace mica::rebase {
namespace {

using guest::ObjectKind;

const ForcedSide* FindForced(const MergeScene& scene, const Node& node) {
  if (node.kind() == ObjectKind::kDirectory) return nullptr;
  const ForcedSide* found = nullptr;
  for (const View* view :
       {node.base ? &*node.base : nullptr, node.ours().view ? &*node.ours().view : nullptr,
        node.theirs().view ? &*node.theirs().view : nullptr}) {
    if (view == nullptr) continue;
    for (const guest::Name& name : view->names) {
      const ForcedSide* forced = scene.packages.paths.Find(name.path);
      if (forced == nullptr) forced = scene.link_groups.Find(name.path);
      if (forced == nullptr) continue;
      if (found == nullptr || forced->strength == ForcedSide::Strength::kAlways) found = forced;
    }
  }
  return found;
}

// Whether ours moved a directory above, and theirs removed that directory: then everything in it
// stays where ours put it.
bool MovedFromUnderRemoval(MergeScene& scene, const Node& node) {
  const Node* at = &node;
  // Bounded by the depth of a tree; a damaged one cannot make it turn in circles.
  for (size_t steps = scene.graph.nodes().size(); steps > 0; --steps) {
    if (!at->ours().view || at->ours().view->slots.empty()) return false;
    const Node* parent = &scene.graph.At(at->ours().view->slots.front().parent);
    if (!parent->listed || parent == at || parent->theirs().view) return false;
    if (parent->ours().change.names) return true;
    at = parent;
  }
  return false;
}

// Of what the VM did not change: made anew, or one of its links broken, and the same as before in
// the end. The report says so, as of all that is in the VM's change set.
void NoteTouchedByOurs(MergeItem& item) {
  if (!item.node.ours().listed) return;
  item.Note(Action::kEqual, Severity::kInfo, "touched by the VM, but not different");
}

// What the VM split off stays apart, with whatever content it gets.
void KeepApart(MergeItem& item) {
  const SideState& theirs = item.node.theirs();
  if (!item.node.ours().split_off || !theirs.view) return;
  const bool copied = theirs.change.content && theirs.view->object.size > kMergeSizeMax;
  if (copied && item.node.result.content == ContentSource::kTheirs) {
    item.Raise(Severity::kNotice,
               "a hard link again: the new master's version is too large to be copied");
    return;
  }
  item.node.result.apart = true;
}

void DecideUnchangedByOurs(MergeScene& scene, MergeItem& item) {
  const bool removed = item.node.theirs().change.deleted;
  if (!removed || !item.node.ours().view || !MovedFromUnderRemoval(scene, item.node)) {
    TakeSide(item.node, Side::kTheirs);
    KeepApart(item);
    if (item.node.result.apart) {
      item.Note(item.node.theirs().change.any() ? Action::kMerged : Action::kCarried,
                Severity::kInfo, "no longer a hard link on the VM");
    } else {
      NoteTouchedByOurs(item);
    }
    return;
  }
  TakeSide(item.node, Side::kOurs);
  item.Note(Action::kKept, Severity::kNotice,
            "removed by the new master, kept because the VM moved its directory");
}

void DecideDropped(MergeScene& scene, MergeItem& item) {
  TakeSide(item.node, Side::kTheirs);
  const bool regenerate = item.decision.one() == OneSided::kRegenerate;
  item.entry.rule = item.decision.Where(PolicyKey::kOne);
  item.Note(regenerate ? Action::kRegenerated : Action::kDropped,
            item.decision.severity().value_or(Severity::kNotice), "");
  if (regenerate) scene.out.regenerate.push_back(item.entry.path);
}

// Whether ours is something else than what its package brought. Unknown counts as edited.
Result<bool> EditedByOwner(MergeScene& scene, const MergeItem& item) {
  for (const guest::Name& name : item.node.ours().view->names) {
    const auto at = scene.packages.our_digests.find(name.path);
    if (at == scene.packages.our_digests.end()) continue;
    ASSIGN(const std::string digest, Md5Content(item.File(scene, Version::kOurs)));
    return digest != at->second;
  }
  const std::string path = guest::MountedPath(scene.graph.input().mount_point, item.node.path());
  return !path.starts_with("/var/lib/dpkg/info/");
}

// Every file of a contested package is its unit's side's.
Result<void> DecideUnit(MergeScene& scene, MergeItem& item) {
  Node& node = item.node;
  const Side side = item.forced->side;
  TakeSide(node, side);
  item.entry.package = item.forced->package;
  if (side == Side::kOurs) {
    item.Note(node.theirs().change.any() ? Action::kOurs : Action::kCarried, Severity::kInfo, "");
    return {};
  }
  if (!node.ours().change.any()) {
    NoteTouchedByOurs(item);
    return {};
  }
  item.Note(Action::kTheirs, Severity::kInfo, "");
  if (!node.ours().view || node.kind() != ObjectKind::kRegular) return {};
  if (!node.ours().change.content && !node.ours().change.created) return {};
  if (node.theirs().view) {
    ASSIGN(const bool same,
           SameContent(item.File(scene, Version::kOurs), item.File(scene, Version::kTheirs)));
    if (same) return {};
  }
  ASSIGN(const bool edited, EditedByOwner(scene, item));
  if (!edited) return {};
  item.Raise(item.decision.severity().value_or(Severity::kWarn),
             "the VM's version may be edited by hand");
  item.SaveLoser(scene, Side::kOurs);
  return {};
}

bool SameForPeople(const guest::Attributes& a, const guest::Attributes& b) {
  guest::Attributes other = b;
  other.modified = a.modified;
  return a == other;
}

// Written again with the bytes it had, or touched: not a change to keep a removed file for.
bool OnlyTouched(const Node& node, Side side) {
  const ObjectChange& change = node.Of(side).change;
  return !change.content && !change.names && node.base &&
         SameForPeople(node.base->object.attributes, node.Of(side).view->object.attributes);
}

// One side removed the object, the other one changed it.
void DecideRemovedAndChanged(MergeScene& scene, MergeItem& item, Side removed_by) {
  const Side changed_by = Other(removed_by);
  if (OnlyTouched(item.node, changed_by)) {
    TakeSide(item.node, removed_by);
    item.Note(Action::kRemoved, Severity::kInfo, "the other side only touched it");
    return;
  }
  const BothChanged both = item.decision.both();
  const bool by_unit =
      item.forced != nullptr && (both == BothChanged::kUnit || both == BothChanged::kMerge);
  const DeleteModify rule = item.decision.delete_modify();
  Side side = changed_by;
  Severity severity = Severity::kWarn;
  if (by_unit) {
    side = item.forced->side;
    item.entry.package = item.forced->package;
  } else {
    item.entry.rule = item.decision.Where(PolicyKey::kDelMod);
    if (rule == DeleteModify::kDelete) {
      side = removed_by;
      severity = Severity::kNotice;
    } else if (rule == DeleteModify::kFail) {
      severity = Severity::kError;
    }
  }
  TakeSide(item.node, side);
  item.Note(side == removed_by ? Action::kRemoved : Action::kKept,
            item.decision.severity().value_or(severity),
            removed_by == Side::kOurs ? "removed by the VM, changed by the new master"
                                      : "changed by the VM, removed by the new master");
  if (side == removed_by) item.SaveLoser(scene, changed_by);
}

// Both sides have the object.
Result<void> DecidePresent(MergeScene& scene, MergeItem& item) {
  Node& node = item.node;
  const bool theirs_changed = node.theirs().change.any();
  item.Note(theirs_changed ? Action::kMerged : Action::kCarried, Severity::kInfo, "");
  ASSIGN(node.result.content, MergeContent(scene, item));
  const bool ours_object = node.result.content != ContentSource::kTheirs;
  node.result.object = ours_object ? Side::kOurs : Side::kTheirs;
  const View& ours = *node.ours().view;
  const View& theirs = *node.theirs().view;
  AttributeMerge attributes = MergeAttributes({node.base ? &node.base->object.attributes : nullptr,
                                               ours.object.attributes, theirs.object.attributes},
                                              node.result.content, item.decision.meta());
  if (!node.base && node.result.content == ContentSource::kOurs) {
    attributes.attributes = ours.object.attributes;
  }
  node.result.attributes = std::move(attributes.attributes);
  for (const std::string& name : attributes.conflicts) {
    item.Raise(item.decision.severity().value_or(Severity::kWarn),
               "both changed " + name + "; ours taken");
  }
  MergeNames(item);
  KeepApart(item);
  if (theirs_changed && item.entry.action == Action::kMerged && item.entry.merger.empty() &&
      node.result.content == ContentSource::kTheirs && ours.slots == theirs.slots &&
      SameForPeople(ours.object.attributes, theirs.object.attributes) && !item.ours_content_lost) {
    item.entry.action = Action::kEqual;
  }
  return {};
}

Result<void> DecideByTable(MergeScene& scene, MergeItem& item) {
  Node& node = item.node;
  const bool ours_there = node.ours().view.has_value();
  const bool theirs_there = node.theirs().view.has_value();
  if (ours_there && theirs_there) return DecidePresent(scene, item);
  if (!ours_there && !theirs_there) {
    TakeSide(node, Side::kTheirs);
    item.Note(Action::kEqual, Severity::kInfo, "");
  } else if (node.base && node.theirs().change.any()) {
    DecideRemovedAndChanged(scene, item, ours_there ? Side::kTheirs : Side::kOurs);
  } else {
    TakeSide(node, Side::kOurs);
    item.Note(Action::kCarried, Severity::kInfo, "");
  }
  return {};
}

}  // namespace

void TakeSide(Node& node, Side side) {
  node.result = {};
  const std::optional<View>& view = node.Of(side).view;
  if (!view) return;
  node.result.present = true;
  node.result.object = side;
  node.result.attributes = view->object.attributes;
  node.result.slots = view->slots;
  if (side == Side::kTheirs) return;
  node.result.content = node.HasOneContent() ? ContentSource::kTheirs : ContentSource::kOurs;
}

ReportEntry EntryFor(const Node& node, Action action) {
  ReportEntry entry;
  entry.path = node.path();
  entry.kind = node.kind();
  entry.ours = node.ours().change;
  entry.theirs = node.theirs().change;
  entry.action = action;
  std::set<std::string> paths;
  const bool their_names = node.theirs().view && node.theirs().change.any();
  for (const View* view :
       {node.ours().view ? &*node.ours().view : nullptr, node.base ? &*node.base : nullptr,
        their_names ? &*node.theirs().view : nullptr}) {
    if (view == nullptr) continue;
    for (const guest::Name& name : view->names) paths.insert(name.path);
  }
  paths.erase(entry.path);
  entry.other_paths.assign(paths.begin(), paths.end());
  return entry;
}

ReportEntry& EntryOf(MergeScene& scene, Node& node, Action action) {
  if (!node.entry) node.entry = scene.out.report.Add(EntryFor(node, action));
  return scene.out.report.At(*node.entry);
}

Result<void> DecideNode(MergeScene& scene, NodeIndex index) {
  Node& node = scene.graph.At(index);
  if (!node.listed || node.merged_away) return {};
  const ForcedSide* const forced = FindForced(scene, node);
  // Most of a large patch is nothing that the VM knows of: no policy and no report speak of it.
  const bool theirs = forced == nullptr || forced->side == Side::kTheirs;
  if (theirs && !node.ours().listed && !node.theirs().change.deleted) {
    TakeSide(node, Side::kTheirs);
    return {};
  }
  const PathKind kind =
      node.kind() == ObjectKind::kDirectory ? PathKind::kDirectory : PathKind::kOther;
  MergeItem item = {node, scene.graph.input().policy.Decide(node.path(), kind), forced,
                    EntryFor(node, Action::kCarried)};
  item.entry.unclassified = node.ours().change.any() && !item.decision.matched();
  const bool unit = item.forced != nullptr &&
                    item.forced->strength == ForcedSide::Strength::kAlways &&
                    item.decision.one() != OneSided::kKeep;
  const bool drops =
      item.decision.one() == OneSided::kDrop || item.decision.one() == OneSided::kRegenerate;
  if (unit) {
    TRY(DecideUnit(scene, item));
  } else if (!node.ours().change.any()) {
    DecideUnchangedByOurs(scene, item);
  } else if (drops) {
    DecideDropped(scene, item);
  } else {
    TRY(DecideByTable(scene, item));
  }
  if (item.noted) node.entry = scene.out.report.Add(std::move(item.entry));
  return {};
}

Result<std::optional<std::string>> ResultBytes(const MergeScene& scene, const Node& node) {
  if (!node.result.present || node.kind() != ObjectKind::kRegular) {
    return std::optional<std::string>();
  }
  if (node.result.content == ContentSource::kMerged) {
    return std::optional<std::string>(node.result.merged);
  }
  const Side side = node.result.content == ContentSource::kOurs ? Side::kOurs : Side::kTheirs;
  ASSIGN(std::string bytes, guest::ReadWhole(scene.graph.volume(VersionOf(side)),
                                             node.Of(side).view->object.id.inode, kMergeSizeMax));
  return std::optional<std::string>(std::move(bytes));
}

}  // namespace mica::rebase
