// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/link_groups.h"

#include "tools/rebase/mergers/alternatives.h"

namespace mica::rebase {
namespace {

constexpr std::string_view kGroups = "/var/lib/dpkg/alternatives/";
constexpr std::string_view kLinks = "/etc/alternatives/";
constexpr uint64_t kGroupSizeMax = uint64_t{1} << 20;

Result<std::string> ReadView(guest::Volume& volume, const std::optional<View>& view) {
  if (!view || view->object.size > kGroupSizeMax) return std::string();
  return guest::ReadWhole(volume, view->object.id.inode, kGroupSizeMax);
}

Result<std::string> LinkTarget(guest::Volume& volume, const std::string& path) {
  ASSIGN(const auto inode, guest::LookupPath(volume, path));
  if (!inode) return std::string();
  ASSIGN(const guest::Object object, volume.Stat(*inode));
  return object.symlink_target;
}

Result<void> AddGroup(Graph& graph, const Node& node, ForcedSides& sides) {
  ASSIGN(const std::string base, ReadView(graph.volume(Version::kBase), node.base));
  ASSIGN(const std::string ours, ReadView(graph.volume(Version::kOurs), node.ours().view));
  ASSIGN(const std::string theirs, ReadView(graph.volume(Version::kTheirs), node.theirs().view));
  const std::string path = node.path();
  const std::string name = path.substr(kGroups.size());
  const auto base_group = AlternativeGroup::Parse(base);
  const auto our_group = AlternativeGroup::Parse(ours);
  const auto their_group = AlternativeGroup::Parse(theirs);
  const MergeOutput output = MergeAlternatives({path, base, ours, theirs, {}});
  const auto merged = output.merged ? AlternativeGroup::Parse(*output.merged) : std::nullopt;
  if (!base_group || !our_group || !their_group || !merged) return {};
  Side side = Side::kOurs;
  if (merged->mode == "auto") {
    const std::string link = std::string(kLinks) + name;
    ASSIGN(const std::string our_target, LinkTarget(graph.volume(Version::kOurs), link));
    ASSIGN(const std::string their_target, LinkTarget(graph.volume(Version::kTheirs), link));
    if (their_target == merged->Best() && our_target != their_target) side = Side::kTheirs;
  } else if (our_group->mode == "auto" || our_group->mode == base_group->mode) {
    side = their_group->mode == our_group->mode ? Side::kOurs : Side::kTheirs;
  }
  const ForcedSide forced = {side, ForcedSide::Strength::kInConflict, name + " alternatives"};
  sides.Set(std::string(kLinks) + name, forced);
  for (const auto& slave : merged->slaves) sides.Set(std::string(kLinks) + slave.first, forced);
  return {};
}

}  // namespace

Result<ForcedSides> FindLinkGroups(Graph& graph) {
  ForcedSides sides;
  for (Node& node : graph.nodes()) {
    if (node.merged_away || !node.listed || node.kind() != guest::ObjectKind::kRegular) continue;
    if (!node.ours().change.any() || !node.theirs().change.any()) continue;
    if (!node.ours().view || !node.theirs().view || !node.path().starts_with(kGroups)) continue;
    TRY(AddGroup(graph, node, sides));
  }
  return sides;
}

}  // namespace mica::rebase
