// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/settle.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

namespace mica::rebase {
namespace {

using guest::ObjectKind;

constexpr size_t kDepthMax = size_t{1} << 16;

class Settle {
 public:
  explicit Settle(MergeScene& scene) : scene_(scene), graph_(scene.graph) {}

  Result<void> Run() {
    TRY(KeepDirectories());
    TRY(BreakCycles());
    TRY(KeepDirectories());
    TRY(TellFollowed(Side::kOurs));
    TRY(TellFollowed(Side::kTheirs));
    TRY(ResolveCollisions());
    return NameBesides();
  }

 private:
  [[nodiscard]] static bool Present(const Node& node) {
    return !node.merged_away && (!node.listed || node.result.present);
  }

  ReportEntry& Entry(Node& node, Action action) { return EntryOf(scene_, node, action); }

  void Decided(Node& node, Action action, Severity severity, const std::string& detail) {
    ReportEntry& entry = Entry(node, action);
    entry.action = action;
    Tell(entry, severity, detail);
  }

  // --- Directories

  Result<void> KeepDirectories() {
    std::vector<NodeIndex> open(graph_.nodes().size());
    std::iota(open.begin(), open.end(), NodeIndex{0});
    while (!open.empty()) {
      const Node& node = graph_.At(open.back());
      open.pop_back();
      if (!node.listed || !Present(node)) continue;
      for (const Slot& slot : node.result.slots) {
        Node& directory = graph_.At(slot.parent);
        if (Present(directory)) continue;
        const bool in_theirs = directory.theirs().view.has_value();
        if (!in_theirs && !directory.ours().view) {
          return Error{Errc::kCorrupt,
                       fmt::format("{}: its directory is in no version", node.path())};
        }
        TakeSide(directory, in_theirs ? Side::kTheirs : Side::kOurs);
        Decided(directory, Action::kKept, Severity::kNotice,
                fmt::format("the directory stays, because it holds {}", node.path()));
        open.push_back(slot.parent);
      }
    }
    return {};
  }

  // --- Cycles: the VM moved a into b, and the patch moved b into a. The patch's move is not done.

  [[nodiscard]] static bool Moved(const Node& node, Side side) {
    return node.listed && !node.merged_away && node.kind() == ObjectKind::kDirectory &&
           node.base.has_value() && node.Of(side).change.names;
  }

  Result<void> BreakCycles() {
    std::vector<NodeIndex> theirs;
    bool ours_moved = false;
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      const Node& node = graph_.At(index);
      if (Present(node) && Moved(node, Side::kTheirs)) theirs.push_back(index);
      ours_moved = ours_moved || (Present(node) && Moved(node, Side::kOurs));
    }
    // Undoing one move may close another circle; each move is undone at most once.
    bool again = ours_moved;
    while (again) {
      again = false;
      for (const NodeIndex index : theirs) {
        ASSIGN(const bool undone, UndoIfInsideItself(graph_.At(index), index));
        again = again || undone;
      }
    }
    return {};
  }

  Result<bool> UndoIfInsideItself(Node& node, NodeIndex index) {
    if (!node.ours().view || node.result.slots == node.ours().view->slots) return false;
    ASSIGN(const bool inside_itself, InsideItself(index));
    if (!inside_itself) return false;
    node.result.slots = node.ours().view->slots;
    Decided(node, Action::kOurs, Severity::kError,
            "moved by both, each into what the other moved; stays where the VM has it");
    return true;
  }

  // What one side did inside a directory that the other one moved has followed the move.
  Result<void> TellFollowed(Side mover) {
    const auto moved = [&](const Node& node) { return Present(node) && Moved(node, mover); };
    if (std::ranges::none_of(graph_.nodes(), moved)) return {};
    std::set<NodeIndex> told;
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      const Node& node = graph_.At(index);
      const ObjectChange& change = node.Of(Other(mover)).change;
      // Of the patch only what is new; of the VM everything.
      const bool follows = mover == Side::kOurs ? change.created : change.any();
      if (!node.listed || !Present(node) || !follows) continue;
      ASSIGN(const auto directory, FirstAbove(index, moved));
      if (!directory || !told.insert(*directory).second) continue;
      ReportEntry& entry = Entry(graph_.At(*directory), Action::kCarried);
      if (mover == Side::kTheirs && entry.action == Action::kCarried) {
        entry.action = Action::kMerged;
      }
      Tell(entry, Severity::kNotice,
           mover == Side::kOurs ? "what the new master added inside has followed the move"
                                : "moved by the new master; the VM's changes inside have followed");
    }
    return {};
  }

  template <class Wanted>
  Result<std::optional<NodeIndex>> FirstAbove(NodeIndex start, const Wanted& wanted) {
    NodeIndex at = start;
    for (size_t depth = 0; depth < kDepthMax; ++depth) {
      ASSIGN(const NodeIndex parent, graph_.ParentOf(at));
      if (parent == at) return std::optional<NodeIndex>();
      if (wanted(graph_.At(parent))) return std::optional<NodeIndex>(parent);
      at = parent;
    }
    return Error{Errc::kCorrupt, graph_.At(start).path() + ": is deeper than directories can be"};
  }

  Result<bool> InsideItself(NodeIndex start) {
    std::set<NodeIndex> seen;
    NodeIndex at = start;
    while (seen.insert(at).second) {
      ASSIGN(const NodeIndex parent, graph_.ParentOf(at));
      if (parent == at) return false;  // the root
      at = parent;
    }
    return at == start;
  }

  // --- Names taken twice

  Result<void> ResolveCollisions() {
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      const Node& node = graph_.At(index);
      if (!node.listed || !Present(node)) continue;
      for (const Slot& slot : node.result.slots) taken_[slot].push_back(index);
    }
    std::vector<std::pair<Slot, std::vector<NodeIndex>>> contested;
    for (const auto& item : taken_) {
      if (item.second.size() > 1) contested.emplace_back(item);
    }
    for (const auto& [slot, claimants] : contested) TRY(Resolve(slot, claimants));
    return {};
  }

  static bool HasSlot(const Node& node, Side side, const Slot& slot) {
    const std::optional<View>& view = node.Of(side).view;
    return view && std::ranges::binary_search(view->slots, slot);
  }

  Result<void> Resolve(const Slot& slot, const std::vector<NodeIndex>& claimants) {
    const auto kinds_differ = std::ranges::any_of(claimants, [&](NodeIndex index) {
      return graph_.At(index).kind() != graph_.At(claimants.front()).kind();
    });
    auto ours = std::ranges::find_if(
        claimants, [&](NodeIndex index) { return HasSlot(graph_.At(index), Side::kOurs, slot); });
    if (ours == claimants.end()) ours = claimants.begin();
    const std::string path = graph_.At(*ours).path();
    const PathKind kind =
        graph_.At(*ours).kind() == ObjectKind::kDirectory ? PathKind::kDirectory : PathKind::kOther;
    const Decision decision = graph_.input().policy.Decide(path, kind);
    const bool theirs_wins = kinds_differ && decision.type() == TypeChange::kTheirs;
    const bool fails = kinds_differ && decision.type() == TypeChange::kFail;
    const Severity severity =
        decision.severity().value_or(fails ? Severity::kError : Severity::kWarn);
    for (const NodeIndex index : claimants) {
      const bool is_ours = index == *ours;
      if (is_ours != theirs_wins) {
        Decided(graph_.At(index), is_ours ? Action::kOurs : Action::kTheirs, severity,
                kinds_differ ? "the two sides have objects of different kinds here"
                             : "the two sides have different objects under this name");
        if (kinds_differ)
          Entry(graph_.At(index), Action::kOurs).rule = decision.Where(PolicyKey::kType);
        continue;
      }
      TRY(MoveBeside(index, slot, is_ours ? Side::kOurs : Side::kTheirs, severity));
    }
    return {};
  }

  Result<void> MoveBeside(NodeIndex index, const Slot& slot, Side side, Severity severity) {
    Node& node = graph_.At(index);
    ASSIGN(const std::string leaf, FreeLeaf(slot, side));
    std::ranges::replace(node.result.slots, slot, Slot{slot.parent, leaf});
    std::ranges::sort(node.result.slots);
    taken_[{slot.parent, leaf}].push_back(index);
    Decided(node, Action::kBoth, severity,
            fmt::format("the name went to the other side's object; this one is {}", leaf));
    Entry(node, Action::kBoth).saved_beside = leaf;
    return {};
  }

  // "leaf.mica-theirs", or with a number where that is taken.
  Result<std::string> FreeLeaf(const Slot& slot, Side side) {
    const std::string stem = fmt::format("{}.mica-{}", slot.leaf, SideName(side));
    const Node& directory = graph_.At(slot.parent);
    for (int number = 1;; ++number) {
      std::string leaf = number == 1 ? stem : fmt::format("{}.{}", stem, number);
      if (taken_.contains({slot.parent, leaf})) continue;
      if (!directory.theirs().view) return leaf;
      ASSIGN(
          const auto there,
          graph_.volume(Version::kTheirs).LookupIn(directory.theirs().view->object.id.inode, leaf));
      if (!there) return leaf;
    }
  }

  // Names for losing versions that are kept as objects of their own.
  Result<void> NameBesides() {
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      Node& node = graph_.At(index);
      if (!node.listed || !Present(node) || !node.result.beside) continue;
      const Slot& slot = node.result.slots.front();
      ASSIGN(node.result.beside_leaf, FreeLeaf(slot, *node.result.beside));
      taken_[{slot.parent, node.result.beside_leaf}].push_back(index);
      Entry(node, Action::kBoth).saved_beside = node.result.beside_leaf;
    }
    return {};
  }

  MergeScene& scene_;
  Graph& graph_;
  std::map<Slot, std::vector<NodeIndex>> taken_;
};

}  // namespace

Result<void> SettleTree(MergeScene& scene) {
  return Settle(scene).Run();
}

}  // namespace mica::rebase
