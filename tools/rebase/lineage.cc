// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/lineage.h"

#include <utility>
#include <vector>

namespace mica::rebase {
namespace {

std::optional<uint64_t> Find(const std::unordered_map<uint64_t, uint64_t>& map, uint64_t inode) {
  const auto at = map.find(inode);
  return at == map.end() ? std::nullopt : std::optional<uint64_t>(at->second);
}

}  // namespace

Result<PathLineage> PathLineage::Build(guest::Volume& base, guest::Volume& later) {
  PathLineage lineage;
  std::vector<std::pair<uint64_t, uint64_t>> open = {{base.root(), later.root()}};
  while (!open.empty()) {
    const auto [base_directory, later_directory] = open.back();
    open.pop_back();
    // A directory is entered once, also in a damaged tree.
    if (!lineage.later_.emplace(base_directory, later_directory).second) continue;
    lineage.base_.emplace(later_directory, base_directory);
    ASSIGN(const auto before, base.List(base_directory));
    ASSIGN(const auto after, later.List(later_directory));
    auto at = after.begin();
    for (const guest::DirectoryEntry& entry : before) {
      while (at != after.end() && at->name < entry.name) ++at;
      if (at == after.end() || at->name != entry.name || at->kind != entry.kind) continue;
      if (entry.kind == guest::ObjectKind::kDirectory) {
        open.emplace_back(entry.inode, at->inode);
      } else if (!lineage.base_.contains(at->inode) &&
                 lineage.later_.emplace(entry.inode, at->inode).second) {
        lineage.base_.emplace(at->inode, entry.inode);
      }
    }
  }
  return lineage;
}

std::optional<uint64_t> PathLineage::Of(uint64_t base_inode) const {
  return Find(later_, base_inode);
}

std::optional<uint64_t> PathLineage::BaseOf(uint64_t inode) const {
  return Find(base_, inode);
}

}  // namespace mica::rebase
