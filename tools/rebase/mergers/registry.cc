// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/registry.h"

#include <array>

#include "tools/rebase/mergers/accounts.h"
#include "tools/rebase/mergers/alternatives.h"
#include "tools/rebase/mergers/keyed_lines.h"
#include "tools/rebase/mergers/stanza.h"
#include "tools/rebase/mergers/text.h"

namespace mica::rebase {
namespace {

constexpr std::array<Merger, 13> kMergers = {{
    {"text", MergeText},
    {"lines", MergeLineSet},
    {"hosts", MergeHosts},
    {"statoverride", MergeStatOverride, true},
    {"diversions", MergeDiversions},
    {"passwd", MergePasswd, true},
    {"group", MergeGroup, true},
    {"shadow", MergeShadow},
    {"gshadow", MergeGshadow},
    {"subid", MergeSubordinateIds, true},
    {"packages", MergePackageStanzas},
    {"debconf", MergeDebconf},
    {"alternatives", MergeAlternatives},
}};

}  // namespace

const Merger* FindMerger(std::string_view name) {
  for (const Merger& merger : kMergers) {
    if (merger.name == name) return &merger;
  }
  return nullptr;
}

std::vector<std::string_view> MergerNames() {
  std::vector<std::string_view> names;
  names.reserve(kMergers.size());
  for (const Merger& merger : kMergers) names.push_back(merger.name);
  return names;
}

}  // namespace mica::rebase
