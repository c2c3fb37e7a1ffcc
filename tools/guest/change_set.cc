// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/change_set.h"

#include <algorithm>
#include <string_view>
#include <tuple>

namespace mica::guest {
namespace {

using Entry = std::tuple<uint64_t, uint32_t, std::string_view>;

std::vector<Entry> EntriesOf(const std::vector<Name>& names) {
  std::vector<Entry> entries;
  for (const Name& name : names) {
    entries.emplace_back(name.parent, name.parent_generation, name.leaf);
  }
  std::ranges::sort(entries);
  return entries;
}

}  // namespace

bool ChangedObject::names_changed() const {
  return EntriesOf(names_before) != EntriesOf(names_after);
}

}  // namespace mica::guest
