// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/merge_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "tools/rebase/content.h"

namespace mica::rebase {
namespace {

std::string_view DirectoryPath(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : path.substr(0, slash);
}

// A directory's modification time follows from its entries.
bool SameAttributes(const guest::Object& a, const guest::Object& b) {
  guest::Attributes other = b.attributes;
  if (a.kind == guest::ObjectKind::kDirectory) other.modified = a.attributes.modified;
  return a.attributes == other;
}

}  // namespace

guest::ObjectKind Node::kind() const {
  if (ours().view) return ours().view->object.kind;
  if (theirs().view) return theirs().view->object.kind;
  return base ? base->object.kind : guest::ObjectKind::kDirectory;
}

bool Node::HasOneContent() const {
  return base && ours().view && theirs().view && !ours().change.content && !theirs().change.content;
}

std::string Node::path() const {
  for (const View* view : {ours().view ? &*ours().view : nullptr,
                           theirs().view ? &*theirs().view : nullptr, base ? &*base : nullptr}) {
    if (view != nullptr && !view->names.empty()) return view->names.front().path;
  }
  return known_path;
}

guest::Volume& Graph::volume(Version version) const {
  if (version == Version::kBase) return input_.base_volume;
  return version == Version::kOurs ? input_.our_volume : input_.their_volume;
}

NodeIndex Graph::AddNode() {
  nodes_.emplace_back();
  nodes_.back().listed = true;
  return nodes_.size() - 1;
}

void Graph::SetView(NodeIndex node, Side side, View view) {
  Map(VersionOf(side))[view.object.id.inode] = node;
  SideState& state = At(node).Of(side);
  state.view = std::move(view);
  state.listed = true;
}

std::optional<NodeIndex> Graph::Find(Version version, uint64_t inode) const {
  const auto at = Map(version).find(inode);
  return at == Map(version).end() ? std::nullopt : std::optional<NodeIndex>(at->second);
}

NodeIndex Graph::ListedBase(const guest::ChangedObject& entry) {
  const uint64_t inode = entry.before->id.inode;
  if (const auto known = Find(Version::kBase, inode)) return *known;
  const NodeIndex index = AddNode();
  At(index).base = View{*entry.before, entry.names_before, {}};
  Map(Version::kBase)[inode] = index;
  return index;
}

void Graph::LoadSide(Side side, const guest::ChangeSet& changes) {
  for (const guest::ChangedObject& entry : changes.objects) {
    if (!entry.before && !entry.after) continue;
    const NodeIndex index = entry.before ? ListedBase(entry) : AddNode();
    SideState& state = At(index).Of(side);
    state.listed = true;
    if (entry.before && entry.after) state.entry = &entry;
    if (entry.after) SetView(index, side, View{*entry.after, entry.names_after, {}});
  }
}

Result<void> Graph::FillUnlistedSides() {
  for (NodeIndex index = 0; index < nodes_.size(); ++index) {
    Node& node = nodes_[index];
    if (!node.base) continue;
    const uint64_t inode = node.base->object.id.inode;
    for (const Side side : {Side::kOurs, Side::kTheirs}) {
      SideState& state = node.Of(side);
      if (state.listed) continue;
      const auto there = side == Side::kOurs ? inode : input_.their_lineage.Of(inode);
      if (!there) {
        return Error{Errc::kCorrupt,
                     fmt::format("{}: not in the new version, but not in its change "
                                 "set either",
                                 node.path())};
      }
      state.view = node.base;
      state.view->object.id.inode = *there;
      Map(VersionOf(side))[*there] = index;
    }
  }
  return {};
}

Result<void> Graph::Load() {
  LoadSide(Side::kOurs, input_.ours);
  LoadSide(Side::kTheirs, input_.theirs);
  return FillUnlistedSides();
}

Result<NodeIndex> Graph::DirectoryOf(Version version, const guest::Name& name) {
  if (const auto known = Find(version, name.parent)) return *known;
  const auto base = version == Version::kTheirs ? input_.their_lineage.BaseOf(name.parent)
                                                : std::optional<uint64_t>(name.parent);
  const auto theirs = base ? input_.their_lineage.Of(*base) : std::nullopt;
  if (!theirs) {
    return Error{Errc::kCorrupt, fmt::format("the directory of {} has no ancestor, but is not "
                                             "in a change set either",
                                             name.path)};
  }
  if (const auto known = Find(Version::kBase, *base)) return *known;
  const NodeIndex index = AddNode();
  Node& node = At(index);
  node.listed = false;
  node.known_path = DirectoryPath(name.path);
  node.known_version = version;
  View view;
  view.object.kind = guest::ObjectKind::kDirectory;
  view.object.id.inode = *base;
  node.base = node.ours().view = node.theirs().view = view;
  node.theirs().view->object.id.inode = *theirs;
  Map(Version::kBase)[*base] = Map(Version::kOurs)[*base] = Map(Version::kTheirs)[*theirs] = index;
  return index;
}

Result<NodeIndex> Graph::ParentOf(NodeIndex directory) {
  const Node& node = At(directory);
  if (node.listed) {
    return node.result.slots.empty() ? directory : node.result.slots.front().parent;
  }
  if (node.known_path == "/") return directory;
  const std::string parent_path(DirectoryPath(node.known_path));
  const Version version = node.known_version;
  ASSIGN(const auto inode, guest::LookupPath(volume(version), parent_path));
  if (!inode) return Error{Errc::kCorrupt, fmt::format("{}: not found", parent_path)};
  return DirectoryOf(version, {*inode, "", node.known_path, 0});
}

Result<void> Graph::ResolveSlots(Version version, View& view) {
  view.slots.clear();
  for (const guest::Name& name : view.names) {
    ASSIGN(const NodeIndex parent, DirectoryOf(version, name));
    view.slots.push_back({parent, name.leaf});
  }
  std::ranges::sort(view.slots);
  return {};
}

Result<void> Graph::FindChanges(Node& node, Side side) {
  SideState& state = node.Of(side);
  state.change = {};
  if (!node.base) {
    state.change.created = state.view.has_value();
    return {};
  }
  if (!state.view) {
    state.change.deleted = true;
    return {};
  }
  if (!state.listed) return {};
  const View& before = *node.base;
  const View& after = *state.view;
  state.change.names = before.slots != after.slots;
  if (state.entry != nullptr) {
    state.change.content = state.entry->content_changed;
    state.change.attributes = state.entry->attributes_changed;
    return {};
  }
  state.change.attributes = !SameAttributes(before.object, after.object);
  state.change.content = before.object.symlink_target != after.object.symlink_target ||
                         before.object.device_major != after.object.device_major ||
                         before.object.device_minor != after.object.device_minor;
  // What the VM left alone becomes the patch's, whose attributes tell that it changed: a patch that
  // replaces thousands of files need not be read for every VM.
  if (side == Side::kTheirs && !node.ours().listed && state.change.attributes) {
    state.change.content = true;
    return {};
  }
  if (after.object.kind == guest::ObjectKind::kRegular) {
    ASSIGN(const bool same, SameContent({&volume(Version::kBase), before.object.id.inode},
                                        {&volume(VersionOf(side)), after.object.id.inode}));
    state.change.content = !same;
  }
  return {};
}

Result<void> Graph::Finish() {
  // Resolving names may add unlisted directories; those need nothing more.
  const size_t listed = nodes_.size();
  for (NodeIndex index = 0; index < listed; ++index) {
    Node& node = nodes_[index];
    if (node.merged_away || !node.listed) continue;
    if (node.base) TRY(ResolveSlots(Version::kBase, *node.base));
    for (const Side side : {Side::kOurs, Side::kTheirs}) {
      SideState& state = node.Of(side);
      const Version names_of = state.listed ? VersionOf(side) : Version::kBase;
      if (state.view) TRY(ResolveSlots(names_of, *state.view));
      TRY(FindChanges(node, side));
    }
  }
  return {};
}

}  // namespace mica::rebase
