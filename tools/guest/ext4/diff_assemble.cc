// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff_assemble.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace mica::guest {
namespace {

using DirectoryKey = std::pair<uint64_t, uint32_t>;  // inode, generation

std::tuple<DirectoryKey, std::string_view> EntryKey(const Name& name) {
  return {{name.parent, name.parent_generation}, name.leaf};
}

// Directories in which the object has a name in one version only (or is another object).
void AddTouchedDirectories(const ChangedObject& object, std::set<DirectoryKey>& to) {
  const bool same_object = object.before && object.after;
  const auto add_missing = [&](const std::vector<Name>& names, const std::vector<Name>& others) {
    for (const Name& name : names) {
      const bool kept = same_object && std::ranges::any_of(others, [&](const Name& other) {
                          return EntryKey(other) == EntryKey(name);
                        });
      if (!kept) to.insert({name.parent, name.parent_generation});
    }
  };
  add_missing(object.names_before, object.names_after);
  add_missing(object.names_after, object.names_before);
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
