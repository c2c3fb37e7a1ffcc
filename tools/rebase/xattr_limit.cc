// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/xattr_limit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "tools/rebase/posix_acl.h"

namespace mica::rebase {
namespace {

using guest::Xattrs;

// "system." and "security." say who may do what.
bool IsAboutAccess(std::string_view name) {
  return name.starts_with("system.") || name.starts_with("security.");
}

std::vector<std::string> NotIn(const Xattrs& kept, const Xattrs& all) {
  std::vector<std::string> names;
  for (const auto& item : all) {
    const auto at = kept.find(item.first);
    if (at == kept.end() || at->second != item.second) names.push_back(item.first);
  }
  return names;
}

class Limit {
 public:
  explicit Limit(MergeScene& scene)
      : scene_(scene), target_(scene.graph.volume(Version::kTheirs)) {}

  void Run() {
    for (Node& node : scene_.graph.nodes()) {
      if (!node.listed || node.merged_away || !node.result.present) continue;
      LimitResult(node);
      if (node.result.beside == Side::kOurs) {
        KeepWhatFits(node, node.ours().view->object.attributes.xattrs);
      }
    }
  }

 private:
  void LimitResult(Node& node) {
    guest::Attributes& result = node.result.attributes;
    const std::optional<View>& theirs = node.theirs().view;
    const bool is_theirs = theirs && theirs->object.attributes.xattrs == result.xattrs;
    if (is_theirs || target_.CanHold(result.xattrs)) return;
    if (node.ours().view && theirs) TakeOneSide(node);
    KeepWhatFits(node, result.xattrs);
    const auto acl = result.xattrs.find(std::string(kAccessAcl));
    if (acl != result.xattrs.end()) acl->second = FitAclToMode(acl->second, result.mode);
  }

  Decision DecisionFor(const Node& node) {
    const bool directory = node.kind() == guest::ObjectKind::kDirectory;
    return scene_.graph.input().policy.Decide(node.path(),
                                              directory ? PathKind::kDirectory : PathKind::kOther);
  }

  void TakeOneSide(Node& node) {
    const Decision decision = DecisionFor(node);
    const Side side = decision.meta() == MetaMerge::kTheirs ? Side::kTheirs : Side::kOurs;
    const Xattrs both =
        std::exchange(node.result.attributes.xattrs, node.Of(side).view->object.attributes.xattrs);
    const std::vector<std::string> lost = NotIn(node.result.attributes.xattrs, both);
    if (lost.empty()) return;
    Tell(EntryOf(scene_, node, Action::kMerged), decision.severity().value_or(Severity::kWarn),
         fmt::format("the extended attributes of both do not fit into one inode; {} taken, without "
                     "{}",
                     SideName(side), fmt::join(lost, ", ")));
  }

  void KeepWhatFits(Node& node, Xattrs& xattrs) {
    if (target_.CanHold(xattrs)) return;
    const Xattrs all = std::exchange(xattrs, {});
    for (const bool access : {true, false}) {
      for (const auto& item : all) {
        if (IsAboutAccess(item.first) != access) continue;
        xattrs.insert(item);
        if (!target_.CanHold(xattrs)) xattrs.erase(item.first);
      }
    }
    const std::vector<std::string> lost = NotIn(xattrs, all);
    const bool access = std::ranges::any_of(lost, IsAboutAccess);
    Tell(EntryOf(scene_, node, Action::kCarried),
         DecisionFor(node).severity().value_or(access ? Severity::kError : Severity::kWarn),
         fmt::format("the new master's file system has no room for all its extended attributes; "
                     "without {}",
                     fmt::join(lost, ", ")));
  }

  MergeScene& scene_;
  const guest::Volume& target_;
};

}  // namespace

void LimitXattrs(MergeScene& scene) {
  Limit(scene).Run();
}

}  // namespace mica::rebase
