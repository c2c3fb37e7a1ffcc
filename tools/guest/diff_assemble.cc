// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/diff_assemble.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

namespace mica::guest {
namespace {

using DirectoryKey = std::pair<uint64_t, uint32_t>;  // inode, generation

using EntryKey = std::tuple<DirectoryKey, std::string_view>;

std::vector<EntryKey> EntriesOf(const std::vector<Name>& names) {
  std::vector<EntryKey> entries;
  for (const Name& name : names) {
    entries.emplace_back(DirectoryKey{name.parent, name.parent_generation}, name.leaf);
  }
  std::ranges::sort(entries);
  return entries;
}

// Directories in which the object has a name in one version only (or is another object).
void AddTouchedDirectories(const ChangedObject& object, std::set<DirectoryKey>& to) {
  const std::vector<EntryKey> before = EntriesOf(object.names_before);
  const std::vector<EntryKey> after = EntriesOf(object.names_after);
  std::vector<EntryKey> changed;
  std::ranges::set_symmetric_difference(before, after, std::back_inserter(changed));
  for (const auto& [directory, leaf] : changed) to.insert(directory);
}

bool AttributesDiffer(const Object& before, const Object& after,
                      const std::set<DirectoryKey>& touched) {
  if (before.attributes == after.attributes) return false;
  if (after.kind != ObjectKind::kDirectory) return true;
  // When matched by path, names are in terms of the inodes before.
  if (!touched.contains({before.id.inode, before.id.generation})) return true;
  Attributes with_new_time = before.attributes;
  with_new_time.modified = after.attributes.modified;
  return with_new_time != after.attributes;
}

// Empty directories of names and the like come out of the candidates unchanged.
bool IsChange(const ChangedObject& object) {
  if (!object.before || !object.after) return object.before || object.after;
  return object.content_changed || object.attributes_changed || object.names_changed();
}

void SortNames(std::vector<Name>& names) {
  std::ranges::sort(names, {}, &Name::path);
}

std::pair<uint64_t, bool> SortKey(const ChangedObject& object) {
  return {object.before ? object.before->id.inode : object.after->id.inode, !object.before};
}

}  // namespace

ChangeSet AssembleChangeSet(std::vector<ChangedObject> candidates) {
  std::set<DirectoryKey> touched;
  for (const ChangedObject& object : candidates) AddTouchedDirectories(object, touched);
  ChangeSet changes;
  for (ChangedObject& object : candidates) {
    if (object.before && object.after) {
      object.attributes_changed = AttributesDiffer(*object.before, *object.after, touched);
      object.content_changed |= object.before->size != object.after->size ||
                                object.before->symlink_target != object.after->symlink_target;
    }
    if (!IsChange(object)) continue;
    SortNames(object.names_before);
    SortNames(object.names_after);
    changes.objects.push_back(std::move(object));
  }
  std::ranges::sort(changes.objects, {}, SortKey);
  return changes;
}

}  // namespace mica::guest
