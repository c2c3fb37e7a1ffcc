// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/pairing.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace mica::rebase {
namespace {

// A name in one version: the directory's inode there, and the leaf.
using Key = std::pair<uint64_t, std::string>;

bool IsDirectory(const View& view) {
  return view.object.kind == guest::ObjectKind::kDirectory;
}

class Pairing {
 public:
  explicit Pairing(Graph& graph) : graph_(graph) {}

  Result<void> Run() {
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      const Node& node = graph_.At(index);
      if (!node.base) continue;
      for (const guest::Name& name : node.base->names) {
        at_base_name_[{name.parent, name.leaf}] = index;
      }
    }
    for (const Side side : {Side::kOurs, Side::kTheirs}) {
      for (const NodeIndex index : Created(side)) TRY(PairWithBase(index, side));
    }
    return JoinCreated();
  }

 private:
  // Directories first, parents before children: where a name is depends on what its directory is.
  std::vector<NodeIndex> Created(Side side) {
    std::vector<std::tuple<bool, size_t, std::string, NodeIndex>> order;
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      const Node& node = graph_.At(index);
      const std::optional<View>& view = node.Of(side).view;
      if (node.base || node.merged_away || !node.listed || !view || view->names.empty()) continue;
      const std::string& path = view->names.front().path;
      const auto depth = static_cast<size_t>(std::ranges::count(path, '/'));
      order.emplace_back(!IsDirectory(*view), depth, path, index);
    }
    std::ranges::sort(order);
    std::vector<NodeIndex> created;
    created.reserve(order.size());
    for (const auto& item : order) created.push_back(std::get<3>(item));
    return created;
  }

  Result<void> PairWithBase(NodeIndex index, Side side) {
    // By value: the graph may grow, and the node may be emptied.
    const View view = *graph_.At(index).Of(side).view;
    for (const guest::Name& name : view.names) {
      ASSIGN(const NodeIndex directory, graph_.DirectoryOf(VersionOf(side), name));
      const std::optional<View>& base = graph_.At(directory).base;
      if (!base) continue;
      const auto at = at_base_name_.find({base->object.id.inode, name.leaf});
      if (at == at_base_name_.end()) continue;
      if (TryPair(index, at->second, at->first, side)) return {};
    }
    return {};
  }

  // The created object of node `created` takes the name `key` of the base object of node `owner`.
  bool TryPair(NodeIndex created, NodeIndex owner, const Key& key, Side side) {
    Node& old = graph_.At(owner);
    View view = *graph_.At(created).Of(side).view;
    if (old.base->object.kind != view.object.kind) return false;
    const std::optional<View>& still = old.Of(side).view;
    if (still && IsDirectory(view)) return false;
    NodeIndex into = owner;
    if (still && KeepsBaseName(old, side, key)) {
      into = Split(owner, key, Other(side));
      graph_.At(into).Of(side).split_off = true;
    } else if (still) {
      Detach(owner, side);
    }
    graph_.At(created).merged_away = true;
    graph_.At(created).Of(side).view.reset();
    graph_.At(into).Of(side).entry = nullptr;
    graph_.SetView(into, side, std::move(view));
    return true;
  }

  // Whether the object is, on this side, still under one of its old names other than `key`. Names
  // are compared in the side's own directories that descend from the base's.
  bool KeepsBaseName(const Node& node, Side side, const Key& key) {
    for (const guest::Name& name : node.Of(side).view->names) {
      const auto base = BaseKey(name, side, node.Of(side).listed);
      if (!base || *base == key) continue;
      const auto same = [&](const guest::Name& old) { return Key(old.parent, old.leaf) == *base; };
      if (std::ranges::any_of(node.base->names, same)) return true;
    }
    return false;
  }

  std::optional<Key> BaseKey(const guest::Name& name, Side side, bool listed) {
    const auto directory = graph_.DirectoryOf(listed ? VersionOf(side) : Version::kBase, name);
    if (!directory || !graph_.At(*directory).base) return std::nullopt;
    return Key(graph_.At(*directory).base->object.id.inode, name.leaf);
  }

  // Takes the name `key` out of `owner` into a node of its own, in the base and on the `other`
  // side.
  NodeIndex Split(NodeIndex owner, const Key& key, Side other) {
    const NodeIndex index = graph_.AddNode();
    Node& part = graph_.At(index);
    Node& node = graph_.At(owner);
    part.base = node.base;
    MoveNames(node.base->names, part.base->names,
              [&](const guest::Name& name) { return Key(name.parent, name.leaf) == key; });
    SideState& from = node.Of(other);
    SideState& to = part.Of(other);
    to.listed = from.listed;
    to.entry = from.entry;
    if (from.view) {
      to.view = from.view;
      MoveNames(from.view->names, to.view->names,
                [&](const guest::Name& name) { return BaseKey(name, other, from.listed) == key; });
      if (to.view->names.empty()) to.view.reset();
      if (from.view->names.empty()) from.view.reset();
    }
    // Without names, the version is gone from that node: it was removed there by the side.
    from.listed = from.listed || !from.view;
    to.listed = to.listed || !to.view;
    at_base_name_[key] = index;
    return index;
  }

  // `from` keeps the names that are not `wanted`, `to` (a copy of it) those that are.
  template <class Wanted>
  static void MoveNames(std::vector<guest::Name>& from, std::vector<guest::Name>& to,
                        const Wanted& wanted) {
    std::erase_if(to, [&](const guest::Name& name) { return !wanted(name); });
    std::erase_if(from, wanted);
  }

  // The side's object stops being the base's and becomes one it created.
  void Detach(NodeIndex owner, Side side) {
    const NodeIndex index = graph_.AddNode();
    View view = *std::move(graph_.At(owner).Of(side).view);
    graph_.At(owner).Of(side).view.reset();
    graph_.SetView(index, side, std::move(view));
  }

  Result<void> JoinCreated() {
    std::map<Key, NodeIndex> theirs;
    for (const NodeIndex index : Created(Side::kTheirs)) {
      for (const guest::Name& name : graph_.At(index).theirs().view->names) {
        theirs.emplace(Key(name.parent, name.leaf), index);
      }
    }
    for (const NodeIndex index : Created(Side::kOurs)) {
      const View view = *graph_.At(index).ours().view;
      for (const guest::Name& name : view.names) {
        ASSIGN(const NodeIndex directory, graph_.DirectoryOf(Version::kOurs, name));
        const std::optional<View>& there = graph_.At(directory).theirs().view;
        if (!there) continue;
        const auto at = theirs.find({there->object.id.inode, name.leaf});
        if (at == theirs.end()) continue;
        Node& other = graph_.At(at->second);
        if (other.merged_away || other.theirs().view->object.kind != view.object.kind) continue;
        View their_view = *std::move(other.theirs().view);
        other.theirs().view.reset();
        other.merged_away = true;
        graph_.SetView(index, Side::kTheirs, std::move(their_view));
        break;
      }
    }
    return {};
  }

  Graph& graph_;
  std::map<Key, NodeIndex> at_base_name_;
};

}  // namespace

Result<void> PairByName(Graph& graph) {
  return Pairing(graph).Run();
}

}  // namespace mica::rebase
