// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/link_groups.h"

#include "tools/rebase/mergers/alternatives.h"

namespace mica::rebase {
namespace {

constexpr std::string_view kGroups = "/var/lib/dpkg/alternatives/";
constexpr std::string_view kLinks = "/etc/alternatives/";
constexpr uint64_t kGroupSizeMax = uint64_t{1} << 20;

Result<std::string> ReadGroup(guest::Volume& volume, const std::string& path) {
  ASSIGN(const auto inode, guest::LookupPath(volume, path));
  if (!inode) return std::string();
  ASSIGN(const guest::Object object, volume.Stat(*inode));
  if (object.kind != guest::ObjectKind::kRegular || object.size > kGroupSizeMax) {
    return std::string();
  }
  return guest::ReadWhole(volume, *inode, kGroupSizeMax);
}

Result<std::string> LinkTarget(guest::Volume& volume, const std::string& path) {
  ASSIGN(const auto inode, guest::LookupPath(volume, path));
  if (!inode) return std::string();
  ASSIGN(const guest::Object object, volume.Stat(*inode));
  return object.symlink_target;
}

enum class Unchanged : uint8_t { kTake, kSkip };

Result<void> AddGroup(const PackageTrees& trees, const std::string& name, Unchanged unchanged,
                      ForcedSides& sides) {
  const std::string path = std::string(kGroups) + name;
  ASSIGN(const std::string base, ReadGroup(trees.base, path));
  ASSIGN(const std::string ours, ReadGroup(trees.ours, path));
  ASSIGN(const std::string theirs, ReadGroup(trees.theirs, path));
  if (unchanged == Unchanged::kSkip && (ours == base || theirs == base)) return {};
  const auto base_group = AlternativeGroup::Parse(base);
  const auto our_group = AlternativeGroup::Parse(ours);
  const auto their_group = AlternativeGroup::Parse(theirs);
  const MergeOutput output = MergeAlternatives({path, base, ours, theirs, {}});
  const auto merged = output.merged ? AlternativeGroup::Parse(*output.merged) : std::nullopt;
  if (!base_group || !our_group || !their_group || !merged) return {};
  Side side = Side::kOurs;
  if (merged->mode == "auto") {
    const std::string link = std::string(kLinks) + name;
    ASSIGN(const std::string our_target, LinkTarget(trees.ours, link));
    ASSIGN(const std::string their_target, LinkTarget(trees.theirs, link));
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
  const PackageTrees trees = {graph.volume(Version::kBase), graph.volume(Version::kOurs),
                              graph.volume(Version::kTheirs)};
  for (Node& node : graph.nodes()) {
    if (node.merged_away || !node.listed || node.kind() != guest::ObjectKind::kRegular) continue;
    if (!node.ours().change.any() || !node.theirs().change.any()) continue;
    const std::string path = node.path();
    if (!node.ours().view || !node.theirs().view || !path.starts_with(kGroups)) continue;
    TRY(AddGroup(trees, path.substr(kGroups.size()), Unchanged::kTake, sides));
  }
  return sides;
}

Result<ForcedSides> FindLinkGroups(const PackageTrees& trees) {
  ForcedSides sides;
  ASSIGN(const auto folder, guest::LookupPath(trees.ours, kGroups));
  if (!folder) return sides;
  ASSIGN(const std::vector<guest::DirectoryEntry> entries, trees.ours.List(*folder));
  for (const guest::DirectoryEntry& entry : entries) {
    ASSIGN(const auto theirs, guest::LookupPath(trees.theirs, std::string(kGroups) + entry.name));
    if (theirs) TRY(AddGroup(trees, entry.name, Unchanged::kSkip, sides));
  }
  return sides;
}

}  // namespace mica::rebase
