// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/walk.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "tools/guest/diff_assemble.h"
#include "tools/guest/diff_content.h"
#include "tools/guest/walk_tree.h"

namespace mica::guest {
namespace {

// Marks an inode of `after` that has no counterpart, so that it equals none of `before`.
constexpr uint64_t kUnmatched = uint64_t{1} << 63;

class Walk {
 public:
  Walk(Volume& before, Volume& after, WalkOptions options)
      : before_(before), after_(after), options_(options) {}

  Result<WalkResult> Run() {
    ASSIGN(tree_before_, WalkTree::Read(before_));
    ASSIGN(tree_after_, WalkTree::Read(after_));
    if (options_.match == MatchBy::kObjectId) {
      TRY(MatchById());
    } else {
      TRY(MatchByPath());
    }
    TRY(AddUnmatched());
    result_.changes = AssembleChangeSet(std::move(objects_));
    RestoreNames();
    return std::move(result_);
  }

 private:
  Result<void> MatchById();
  Result<void> MatchByPath();
  void Match(uint64_t before, uint64_t after);
  Result<void> AddPair(Object before, Object after);
  Result<void> AddUnmatched();
  Result<void> Compare(ChangedObject& object);
  [[nodiscard]] std::vector<Name> NamesInTermsOfBefore(uint64_t after_inode);
  void RestoreNames();

  Volume& before_;
  Volume& after_;
  WalkOptions options_;
  WalkTree tree_before_;
  WalkTree tree_after_;
  std::unordered_map<uint64_t, uint64_t> after_to_before_;
  std::vector<ChangedObject> objects_;
  WalkResult result_;
};

Result<void> Walk::MatchById() {
  for (const uint64_t inode : tree_before_.Inodes()) {
    if (!tree_after_.Contains(inode)) continue;
    ASSIGN(Object before, before_.Stat(inode));
    ASSIGN(Object after, after_.Stat(inode));
    if (before.id != after.id || before.kind != after.kind) continue;
    Match(inode, inode);
    TRY(AddPair(std::move(before), std::move(after)));
  }
  return {};
}

Result<void> Walk::MatchByPath() {
  const auto by_path = tree_after_.ByPath();
  for (const uint64_t inode : tree_before_.Inodes()) {
    ASSIGN(const Object before, before_.Stat(inode));
    for (const Name& name : tree_before_.NamesOf(inode)) {
      const auto found = by_path.find(name.path);
      if (found == by_path.end() || after_to_before_.contains(found->second)) continue;
      ASSIGN(const Object after, after_.Stat(found->second));
      if (after.kind != before.kind) continue;
      Match(inode, found->second);
      break;
    }
  }
  // Only now are all directories known that have a counterpart.
  for (const auto& [before, after] : result_.matched) {
    ASSIGN(Object old_object, before_.Stat(before));
    ASSIGN(Object new_object, after_.Stat(after));
    TRY(AddPair(std::move(old_object), std::move(new_object)));
  }
  return {};
}

void Walk::Match(uint64_t before, uint64_t after) {
  result_.matched.emplace_back(before, after);
  after_to_before_.emplace(after, before);
}

Result<void> Walk::AddPair(Object before, Object after) {
  ChangedObject object;
  object.names_before = tree_before_.NamesOf(before.id.inode);
  object.names_after = NamesInTermsOfBefore(after.id.inode);
  object.before = std::move(before);
  object.after = std::move(after);
  TRY(Compare(object));
  // The bulk of a volume has not changed: it is not worth keeping until the end.
  const bool same = !object.content_changed && object.before->size == object.after->size &&
                    object.before->attributes == object.after->attributes &&
                    object.before->symlink_target == object.after->symlink_target &&
                    !object.names_changed();
  if (!same) objects_.push_back(std::move(object));
  return {};
}

Result<void> Walk::Compare(ChangedObject& object) {
  const Object& before = *object.before;
  const Object& after = *object.after;
  if (after.kind != ObjectKind::kRegular) return {};
  const bool looks_equal =
      before.size == after.size && before.attributes.modified == after.attributes.modified;
  if (looks_equal && options_.content == CompareContent::kWhenStatDiffers) return {};
  if (options_.same_content && before.size == after.size) {
    ASSIGN(const bool same, options_.same_content(before.id.inode, after.id.inode));
    if (same) return {};
  }
  ASSIGN(std::vector<ByteRange> stored, before_.StoredRanges(before.id.inode));
  ASSIGN(const std::vector<ByteRange> new_stored, after_.StoredRanges(after.id.inode));
  stored.insert(stored.end(), new_stored.begin(), new_stored.end());
  const FileVersion old_file{before_, before.id.inode, before.size};
  const FileVersion new_file{after_, after.id.inode, after.size};
  ASSIGN(object.content_ranges, DifferingContent(old_file, new_file, stored));
  object.content_changed = !object.content_ranges.empty();
  return {};
}

Result<void> Walk::AddUnmatched() {
  std::set<uint64_t> matched_before;
  for (const auto& [before, after] : result_.matched) matched_before.insert(before);
  for (const uint64_t inode : tree_before_.Inodes()) {
    if (matched_before.contains(inode)) continue;
    ChangedObject object;
    ASSIGN(object.before, before_.Stat(inode));
    object.names_before = tree_before_.NamesOf(inode);
    objects_.push_back(std::move(object));
  }
  for (const uint64_t inode : tree_after_.Inodes()) {
    if (after_to_before_.contains(inode)) continue;
    ChangedObject object;
    ASSIGN(object.after, after_.Stat(inode));
    object.names_after = NamesInTermsOfBefore(inode);
    objects_.push_back(std::move(object));
  }
  return {};
}

// With inodes of one numbering, names of both versions can be compared.
std::vector<Name> Walk::NamesInTermsOfBefore(uint64_t after_inode) {
  std::vector<Name> names = tree_after_.NamesOf(after_inode);
  if (options_.match == MatchBy::kObjectId) return names;
  for (Name& name : names) {
    const auto matched = after_to_before_.find(name.parent);
    if (matched == after_to_before_.end()) {
      name.parent |= kUnmatched;
    } else {
      name.parent = matched->second;
      name.parent_generation = tree_before_.GenerationOf(matched->second);
    }
  }
  return names;
}

void Walk::RestoreNames() {
  if (options_.match == MatchBy::kObjectId) return;
  for (ChangedObject& object : result_.changes.objects) {
    if (object.after) object.names_after = tree_after_.NamesOf(object.after->id.inode);
  }
}

}  // namespace

Result<WalkResult> WalkVolumes(Volume& before, Volume& after, WalkOptions options) {
  return Walk(before, after, options).Run();
}

}  // namespace mica::guest
