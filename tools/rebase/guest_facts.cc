// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/guest_facts.h"

#include "tools/rebase/link_groups.h"

namespace mica::rebase {
namespace {

constexpr std::string_view kRecords = "/var/lib/dpkg/";

}  // namespace

Result<GuestFacts> FindGuestFacts(const PackageTrees& trees,
                                  const std::vector<std::string>& mount_points,
                                  const Policy& policy) {
  GuestFacts facts;
  ASSIGN(facts.packages, FindPackageUnits(trees, policy));
  ASSIGN(facts.link_groups, FindLinkGroups(trees));
  for (const std::string& path : mount_points) {
    if (kRecords.starts_with(path + "/") && path.size() > facts.database.size()) {
      facts.database = path;
    }
  }
  return facts;
}

GuestFacts FactsBelow(const GuestFacts& guest, const std::string& mount_point) {
  GuestFacts facts;
  facts.database = guest.database;
  facts.packages.units = guest.packages.units;
  facts.packages.paths = guest.packages.paths.Below(mount_point);
  facts.link_groups = guest.link_groups.Below(mount_point);
  const std::string prefix = mount_point + "/";
  const auto& digests = guest.packages.our_digests;
  for (auto at = digests.lower_bound(prefix); at != digests.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    facts.packages.our_digests.emplace(at->first.substr(mount_point.size()), at->second);
  }
  return facts;
}

}  // namespace mica::rebase
