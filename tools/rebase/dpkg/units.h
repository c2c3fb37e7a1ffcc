// SPDX-License-Identifier: Apache-2.0
// Package units: what a package installed is one thing. Where both sides changed the version of a
// package, its files, its records and its status stanza come from one side, never a mix.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/volume.h"
#include "tools/rebase/dpkg/database.h"
#include "tools/rebase/forced_sides.h"
#include "tools/rebase/policy.h"

namespace mica::rebase {

struct PackageUnit {
  std::string name;
  std::string architecture;  // empty unless several of the name are installed together
  // Empty where the package is not unpacked in that version.
  std::string base_version;
  std::string our_version;
  std::string their_version;
  Side side = Side::kTheirs;  // where it comes from
  // Changed by both, and differently: every file is the side's.
  bool contested = false;
  // Of one that a side removed and the other one changed: what took its place where it was removed.
  std::string successor;
};

// The packages of three versions of a volume.
struct PackageTrees {
  guest::Volume& base;
  guest::Volume& ours;
  guest::Volume& theirs;
};

struct PackageUnits {
  std::vector<PackageUnit> units;  // of packages that a side changed
  ForcedSides paths;               // their files, but for configuration files
  // MD5, in hex, of files as ours' version of a contested package has them, where the new master's
  // is taken: what the VM's owner did not touch needs no saving.
  std::map<std::string, std::string, std::less<>> our_digests;

  // The side of the package's record; empty when no side changed the package, or both did alike.
  [[nodiscard]] std::optional<Side> SideOf(std::string_view name,
                                           std::string_view architecture) const;
};

// Empty when the volumes have no dpkg. The policy's delmod= for the package's list file says what
// becomes of a package that one side removed and the other changed.
Result<PackageUnits> FindPackageUnits(const PackageTrees& trees, const Policy& policy);

}  // namespace mica::rebase
