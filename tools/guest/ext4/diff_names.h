// SPDX-License-Identifier: Apache-2.0
// Second part of the delta-bounded diff: names. Changed directory blocks give the names that came
// and went; together with the index they give all names of an inode in either version, and paths.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/diff_candidates.h"
#include "tools/guest/ext4/index_dirents.h"
#include "tools/guest/object.h"

namespace mica::guest {

enum class Version : uint8_t { kBefore, kAfter };

class NameTable {
 public:
  explicit NameTable(const DiffSides& sides) : sides_(sides) {}

  // Compares all candidate directories; once, before anything else.
  Result<void> Compare(const Candidates& candidates);

  // Inodes that gained or lost a name.
  [[nodiscard]] std::set<uint32_t> Renamed() const;
  // All names with their paths; empty when the inode has none, or none that the root leads to.
  Result<std::vector<Name>> NamesOf(uint32_t inode, Version version);

 private:
  struct Link {
    uint32_t parent = 0;
    std::string leaf;
    friend auto operator<=>(const Link&, const Link&) = default;
  };
  struct LinkChange {
    std::vector<Link> removed;
    std::vector<Link> added;
  };
  struct Directory {
    uint32_t generation = 0;
    std::optional<std::string> path;  // none: the root does not lead to it
  };

  Result<void> CompareDirectory(uint32_t inode);
  Result<void> CompareBlocks(const RawInode& before, const RawInode& after);
  void Record(uint32_t parent, std::vector<Dirent> before, std::vector<Dirent> after);
  Result<std::vector<Link>> LinksOf(uint32_t inode, Version version) const;
  Result<const Directory*> DirectoryOf(uint32_t inode, Version version);
  [[nodiscard]] const Ext4Blocks& Side(Version version) const {
    return version == Version::kBefore ? sides_.before : sides_.after;
  }

  const DiffSides& sides_;
  std::map<uint32_t, LinkChange> changes_;  // by child
  std::unordered_map<uint32_t, Directory> directories_[2];
};

}  // namespace mica::guest
