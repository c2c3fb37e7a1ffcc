// SPDX-License-Identifier: Apache-2.0
// First part of the delta-bounded diff: from blocks that were touched to inodes that may differ.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/ext4/diff_blocks.h"
#include "tools/guest/ext4/index.h"

namespace mica::guest {

struct DiffSides {
  const Ext4Blocks& before;
  const Ext4Blocks& after;
  const Ext4Index& index;  // of `before`
  const BlockSet& touched;
};

struct Candidates {
  // Whose record in the table, block map or attributes differ. Everything about them is compared.
  std::set<uint32_t> inodes;
  // Other directories with touched blocks: their maps are as the index knows them.
  std::set<uint32_t> directories;
  // Other regular files: ranges of their content that lie in touched blocks.
  std::map<uint32_t, std::vector<ByteRange>> content;
};

// kMismatch when the inode tables are not where they were.
Result<Candidates> FindCandidates(const DiffSides& sides);

}  // namespace mica::guest
