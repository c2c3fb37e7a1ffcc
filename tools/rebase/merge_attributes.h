// SPDX-License-Identifier: Apache-2.0
// Three-way merge of an object's metadata, attribute by attribute.
#pragma once

#include <string>
#include <vector>

#include "tools/guest/object.h"
#include "tools/rebase/id_map.h"
#include "tools/rebase/merge_graph.h"
#include "tools/rebase/policy.h"

namespace mica::rebase {

struct AttributeVersions {
  const guest::Attributes* base = nullptr;  // null: both sides created the object
  const guest::Attributes& ours;
  const guest::Attributes& theirs;
};

struct AttributeMerge {
  guest::Attributes attributes;
  std::vector<std::string> conflicts;  // names of attributes both changed, differently
};

// The modification time is that of the content in the result; of joined content the later one.
// Without a base theirs is taken, but for what comes with the content.
AttributeMerge MergeAttributes(const AttributeVersions& versions, ContentSource content,
                               MetaMerge rule);

// Owner and ACLs of ours with its accounts' new numbers, where they are not the base's already.
void RenumberOwners(guest::Attributes& ours, const guest::Attributes* base, const IdMap& ids);

}  // namespace mica::rebase
