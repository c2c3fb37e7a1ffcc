// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/package_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tools/guest/path.h"
#include "tools/rebase/dpkg/dependencies.h"

namespace mica::rebase {
namespace {

constexpr std::string_view kStatusPath = "/var/lib/dpkg/status";

std::string VersionText(const std::string& version) {
  return version.empty() ? "not installed" : version;
}

void ReportUnits(const MergeScene& scene) {
  for (const PackageUnit& unit : scene.packages.units) {
    if (!unit.contested) continue;
    const bool removed = unit.our_version.empty() || unit.their_version.empty();
    ReportEntry entry;
    entry.topic = Topic::kPackage;
    entry.path = unit.name;
    entry.package = unit.name;
    entry.action = unit.side == Side::kOurs ? Action::kOurs : Action::kTheirs;
    const bool lost = removed && unit.successor.empty();
    entry.severity = lost ? Severity::kWarn : Severity::kNotice;
    entry.detail = fmt::format("was {}; the VM has {}, the new master {}; all of it is {}'s",
                               VersionText(unit.base_version), VersionText(unit.our_version),
                               VersionText(unit.their_version),
                               unit.side == Side::kOurs ? "the VM" : "the new master");
    if (!unit.successor.empty()) {
      entry.detail += fmt::format(", where {} replaces it", unit.successor);
    }
    scene.out.report.Add(std::move(entry));
  }
}

Result<std::vector<BrokenRelation>> BrokenIn(guest::Volume& volume,
                                             const std::optional<View>& view) {
  if (!view) return std::vector<BrokenRelation>();
  ASSIGN(const std::string text, guest::ReadWhole(volume, view->object.id.inode, kMergeSizeMax));
  return FindBrokenRelations(ParsePackages(text));
}

std::string GuestPath(const PlanInput& input, const Node& node) {
  return guest::MountedPath(input.mount_point, node.path());
}

}  // namespace

Result<void> ReportPackages(MergeScene& scene) {
  const PlanInput& input = scene.graph.input();
  if (input.guest != nullptr && input.guest->database != input.mount_point) return {};
  ReportUnits(scene);
  for (const Node& node : scene.graph.nodes()) {
    if (!node.listed || node.merged_away || GuestPath(input, node) != kStatusPath) continue;
    if (node.kind() != guest::ObjectKind::kRegular) continue;
    ASSIGN(const auto text, ResultBytes(scene, node));
    if (!text) continue;
    ASSIGN(const auto ours, BrokenIn(scene.graph.volume(Version::kOurs), node.ours().view));
    ASSIGN(const auto theirs, BrokenIn(scene.graph.volume(Version::kTheirs), node.theirs().view));
    std::set<BrokenRelation> before(ours.begin(), ours.end());
    before.insert(theirs.begin(), theirs.end());
    for (const BrokenRelation& broken : FindBrokenRelations(ParsePackages(*text))) {
      if (before.contains(broken)) continue;
      ReportEntry entry;
      entry.topic = Topic::kDependency;
      entry.path = broken.package;
      entry.package = broken.package;
      entry.action = Action::kBroken;
      entry.severity = Severity::kError;
      entry.detail = "not satisfied in the result: " + broken.relation;
      scene.out.report.Add(std::move(entry));
    }
  }
  return {};
}

}  // namespace mica::rebase
