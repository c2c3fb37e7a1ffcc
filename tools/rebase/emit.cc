// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/emit.h"

#include <algorithm>
#include <map>
#include <vector>

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {
namespace {

using guest::ObjectKind;
using guest::PlannedObject;

// An object to be planned; several nodes become one where they still are one object of the new
// master.
struct Draft {
  PlannedObject object;
  std::vector<Slot> slots;
  std::vector<NodeIndex> nodes;
};

class Emitter {
 public:
  explicit Emitter(Graph& graph) : graph_(graph) {}

  Result<guest::Plan> Run() {
    GroupByTarget();
    for (const auto& [inode, nodes] : by_target_) TRY(DraftTarget(inode, nodes));
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      const Node& node = graph_.At(index);
      if (!node.listed || node.merged_away || !node.result.present) continue;
      if (drafted_.contains(index)) continue;
      TRY(DraftCreated(index));
    }
    return Finish();
  }

 private:
  void GroupByTarget() {
    for (NodeIndex index = 0; index < graph_.nodes().size(); ++index) {
      const Node& node = graph_.At(index);
      if (!node.listed || node.merged_away || !node.theirs().view) continue;
      by_target_[node.theirs().view->object.id.inode].push_back(index);
    }
  }

  bool Present(NodeIndex index) { return graph_.At(index).result.present; }
  bool WantsTarget(NodeIndex index) {
    const Node& node = graph_.At(index);
    return node.result.present && node.result.content == ContentSource::kTheirs;
  }

  // The nodes that are this object of the new master decide who stays it: those with its content,
  // else the first that is there at all.
  Result<void> DraftTarget(uint64_t inode, const std::vector<NodeIndex>& nodes) {
    auto keeper = std::ranges::find_if(
        nodes, [&](NodeIndex index) { return WantsTarget(index) && !IsApart(index); });
    if (keeper == nodes.end()) {
      keeper = std::ranges::find_if(nodes, [&](NodeIndex index) { return WantsTarget(index); });
    }
    // The new master's version is wanted beside another one: then the object itself moves there.
    const auto beside = std::ranges::find_if(nodes, [&](NodeIndex index) {
      return Present(index) && graph_.At(index).result.beside == Side::kTheirs;
    });
    if (keeper == nodes.end() && beside != nodes.end()) {
      DraftTheirsBeside(inode, *beside);
      return {};
    }
    if (keeper == nodes.end()) {
      keeper = std::ranges::find_if(nodes, [&](NodeIndex index) { return Present(index); });
    }
    if (keeper == nodes.end()) {
      Draft removal;
      removal.object.target_inode = inode;
      removal.object.kind = graph_.At(nodes.front()).theirs().view->object.kind;
      removal.object.attributes = graph_.At(nodes.front()).theirs().view->object.attributes;
      drafts_.push_back(std::move(removal));
      return {};
    }
    ASSIGN(Draft draft, DraftNode(*keeper));
    draft.object.target_inode = inode;
    for (const NodeIndex index : nodes) {
      if (index == *keeper || IsApart(index) || IsApart(*keeper)) continue;
      if (!WantsTarget(index) || !SameAttributes(index, *keeper)) continue;
      const std::vector<Slot>& more = graph_.At(index).result.slots;
      draft.slots.insert(draft.slots.end(), more.begin(), more.end());
      draft.nodes.push_back(index);
    }
    Add(std::move(draft));
    return {};
  }

  bool IsApart(NodeIndex index) { return graph_.At(index).result.apart; }

  bool SameAttributes(NodeIndex a, NodeIndex b) {
    guest::Attributes other = graph_.At(b).result.attributes;
    other.modified = graph_.At(a).result.attributes.modified;
    return graph_.At(a).result.attributes == other;
  }

  void DraftTheirsBeside(uint64_t inode, NodeIndex index) {
    const Node& node = graph_.At(index);
    Draft draft;
    draft.object = Describe(*node.theirs().view);
    draft.object.target_inode = inode;
    draft.slots = {{node.result.slots.front().parent, node.result.beside_leaf}};
    drafts_.push_back(std::move(draft));
  }

  Result<void> DraftCreated(NodeIndex index) {
    ASSIGN(Draft draft, DraftNode(index));
    if (WantsTarget(index)) {
      // A part of an object of the new master that is kept by another part: its bytes are copied.
      const Node& node = graph_.At(index);
      if (!node.theirs().view) {
        return Error{Errc::kCorrupt, node.path() + ": has content of no version"};
      }
      if (node.kind() == ObjectKind::kRegular && node.HasOneContent()) {
        draft.object.content = guest::OursContent{node.ours().view->object.id.inode, std::nullopt};
      } else if (node.kind() == ObjectKind::kRegular) {
        ASSIGN(std::string bytes,
               guest::ReadWhole(graph_.volume(Version::kTheirs),
                                node.theirs().view->object.id.inode, kMergeSizeMax));
        draft.object.content = guest::MergedContent{std::move(bytes)};
      }
    }
    Add(std::move(draft));
    return {};
  }

  static PlannedObject Describe(const View& view) {
    PlannedObject object;
    object.kind = view.object.kind;
    object.attributes = view.object.attributes;
    object.symlink_target = view.object.symlink_target;
    object.device_major = view.object.device_major;
    object.device_minor = view.object.device_minor;
    return object;
  }

  // Without a target: the object as the node's result says.
  Result<Draft> DraftNode(NodeIndex index) {
    const Node& node = graph_.At(index);
    const NodeResult& result = node.result;
    const std::optional<View>& view = node.Of(result.object).view;
    if (!view || result.slots.empty()) {
      return Error{Errc::kCorrupt, node.path() + ": its result has no name or no version"};
    }
    Draft draft;
    draft.object = Describe(*view);
    draft.object.attributes = result.attributes;
    draft.slots = result.slots;
    draft.nodes = {index};
    if (node.kind() == ObjectKind::kRegular) draft.object.content = Content(node);
    return draft;
  }

  static std::variant<guest::KeepContent, guest::OursContent, guest::MergedContent> Content(
      const Node& node) {
    if (node.result.content == ContentSource::kMerged) {
      return guest::MergedContent{node.result.merged};
    }
    if (node.result.content == ContentSource::kTheirs) return guest::KeepContent{};
    guest::OursContent content;
    content.inode = node.ours().view->object.id.inode;
    // Only ranges are needed where the target holds the common version and ours changed that very
    // file.
    const SideState& ours = node.ours();
    const bool patch = node.base && node.theirs().view && !node.theirs().change.content &&
                       ours.entry != nullptr && ours.change.content && !node.result.beside;
    if (patch) content.ranges = ours.entry->content_ranges;
    return content;
  }

  void Add(Draft draft) {
    for (const NodeIndex index : draft.nodes) drafted_.insert({index, drafts_.size()});
    const bool ours_beside = graph_.At(draft.nodes.front()).result.beside == Side::kOurs;
    const NodeIndex first = draft.nodes.front();
    drafts_.push_back(std::move(draft));
    if (!ours_beside) return;
    const Node& node = graph_.At(first);
    Draft beside;
    beside.object = Describe(*node.ours().view);
    if (beside.object.kind == ObjectKind::kRegular) {
      beside.object.content = guest::OursContent{node.ours().view->object.id.inode, std::nullopt};
    }
    beside.slots = {{node.result.slots.front().parent, node.result.beside_leaf}};
    drafts_.push_back(std::move(beside));
  }

  // Whether the draft is the object just as the new master has it.
  bool Unchanged(const Draft& draft) {
    if (!draft.object.target_inode || draft.nodes.empty()) return false;
    if (!std::holds_alternative<guest::KeepContent>(draft.object.content)) return false;
    std::vector<Slot> before;
    for (const NodeIndex index : by_target_.at(*draft.object.target_inode)) {
      const std::vector<Slot>& slots = graph_.At(index).theirs().view->slots;
      before.insert(before.end(), slots.begin(), slots.end());
    }
    std::vector<Slot> after = draft.slots;
    std::ranges::sort(before);
    std::ranges::sort(after);
    const View& view = *graph_.At(draft.nodes.front()).theirs().view;
    return before == after && draft.object.attributes == view.object.attributes &&
           draft.object.symlink_target == view.object.symlink_target &&
           draft.object.device_major == view.object.device_major &&
           draft.object.device_minor == view.object.device_minor;
  }

  guest::Plan Finish() {
    std::vector<bool> needed;
    std::vector<size_t> position(drafts_.size());
    size_t count = 0;
    for (size_t i = 0; i < drafts_.size(); ++i) {
      needed.push_back(!Unchanged(drafts_[i]));
      position[i] = count;
      count += needed.back() ? 1 : 0;
    }
    const guest::Volume& target = graph_.volume(Version::kTheirs);
    guest::Plan plan;
    for (size_t i = 0; i < drafts_.size(); ++i) {
      if (!needed[i]) continue;
      PlannedObject object = std::move(drafts_[i].object);
      object.attributes.modified = target.StoredTime(object.attributes.modified);
      for (const Slot& slot : drafts_[i].slots) {
        object.names.push_back({DirectoryFor(slot.parent, position), slot.leaf});
      }
      plan.objects.push_back(std::move(object));
    }
    return plan;
  }

  guest::DirectoryRef DirectoryFor(NodeIndex index, const std::vector<size_t>& position) {
    const Node& node = graph_.At(index);
    if (node.theirs().view) {
      return {guest::DirectoryRef::Kind::kTargetInode, node.theirs().view->object.id.inode};
    }
    return {guest::DirectoryRef::Kind::kPlannedObject, position[drafted_.at(index)]};
  }

  Graph& graph_;
  std::map<uint64_t, std::vector<NodeIndex>> by_target_;  // by inode of the new master
  std::vector<Draft> drafts_;
  std::map<NodeIndex, size_t> drafted_;  // to index of drafts_
};

}  // namespace

Result<guest::Plan> EmitPlan(Graph& graph) {
  return Emitter(graph).Run();
}

}  // namespace mica::rebase
