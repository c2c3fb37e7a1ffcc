// SPDX-License-Identifier: Apache-2.0
// The packages a dpkg status file speaks of, as far as the planner needs them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mica::rebase {

struct Package {
  std::string name;
  std::string architecture;
  std::string version;
  std::string status;  // "install ok installed"
  bool multi_arch_same = false;
  std::vector<std::string> conffiles;  // paths
  // Relations as they are written, by field name: Depends, Pre-Depends, Provides, Breaks,
  // Conflicts, Replaces.
  std::map<std::string, std::string, std::less<>> relations;

  // Its files are on the disk: not merely known, removed with configuration left, or selected.
  [[nodiscard]] bool unpacked() const;
  [[nodiscard]] std::string key() const { return name + ":" + architecture; }
};

// Records without a name are skipped; nothing else is refused.
std::vector<Package> ParsePackages(std::string_view status_file);

}  // namespace mica::rebase
