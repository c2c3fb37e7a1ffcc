// SPDX-License-Identifier: Apache-2.0
// All names of a volume, by inode and by path.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/name_source.h"
#include "tools/guest/volume.h"

namespace mica::guest {

class WalkTree final : public NameSource {
 public:
  // Lists every directory once. kCorrupt when one is reached twice.
  static Result<WalkTree> Read(Volume& volume);

  // Sorted; the root and everything it leads to.
  [[nodiscard]] std::vector<uint64_t> Inodes() const;
  [[nodiscard]] bool Contains(uint64_t inode) const { return links_.contains(inode); }
  [[nodiscard]] std::vector<TargetName> AllNamesOf(uint64_t inode) const override;
  // Sorted by path.
  [[nodiscard]] std::vector<Name> NamesOf(uint64_t inode) const;
  [[nodiscard]] uint32_t GenerationOf(uint64_t directory) const {
    return directories_.at(directory).generation;
  }
  // The inode at every path; built on demand by whoever matches by path.
  [[nodiscard]] std::unordered_map<std::string, uint64_t> ByPath() const;

 private:
  struct Link {
    uint64_t parent = 0;
    std::string leaf;
  };
  struct Directory {
    std::string path;  // without a trailing slash; the root's is empty
    uint32_t generation = 0;
  };

  Result<void> Visit(Volume& volume, uint64_t inode, std::vector<uint64_t>& pending);

  uint64_t root_ = 0;
  std::unordered_map<uint64_t, std::vector<Link>> links_;
  std::unordered_map<uint64_t, Directory> directories_;
};

}  // namespace mica::guest
