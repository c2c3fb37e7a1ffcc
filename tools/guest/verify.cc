// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/verify.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "tools/guest/apply_names.h"
#include "tools/guest/verify_object.h"

namespace mica::guest {
namespace {

class Verifier {
 public:
  explicit Verifier(const ResultInput& input) : input_(input) {}

  Result<std::vector<Discrepancy>> Run() {
    for (const ChangedObject& change : input_.changes.objects) {
      if (change.after) after_.emplace(change.after->id.inode, &change);
      if (change.before && !change.after) deleted_.insert(change.before->id.inode);
    }
    for (size_t i = 0; i < input_.plan.objects.size(); ++i) TRY(CheckPlanned(i));
    for (const ChangedObject& change : input_.changes.objects) CheckExplained(change);
    return std::move(found_);
  }

 private:
  Result<void> CheckPlanned(size_t i);
  void CheckNames(size_t i, const ChangedObject* change, const std::string& path);
  void CheckExplained(const ChangedObject& change);
  [[nodiscard]] std::string PathOf(size_t i, const ChangedObject* change) const;
  void Add(const std::string& path, std::string what) { found_.push_back({path, std::move(what)}); }

  const ResultInput& input_;
  std::map<uint64_t, const ChangedObject*> after_;  // by inode in the result
  std::set<uint64_t> deleted_;                      // inodes of the target
  std::set<uint64_t> planned_after_;
  std::set<uint64_t> planned_deleted_;
  std::vector<Discrepancy> found_;
};

std::string Verifier::PathOf(size_t i, const ChangedObject* change) const {
  if (change != nullptr && !change->names_after.empty()) return change->names_after.front().path;
  const PlannedObject& planned = input_.plan.objects[i];
  if (!planned.names.empty()) return ".../" + planned.names.front().leaf;
  return fmt::format("inode {} of the new master", planned.target_inode.value_or(0));
}

Result<void> Verifier::CheckPlanned(size_t i) {
  const PlannedObject& planned = input_.plan.objects[i];
  const uint64_t inode = input_.applied.inodes.at(i);
  // What could not become the planned object (another symlink target) was made anew, and may have
  // got its old number.
  const bool remade = inode != 0 && planned.target_inode == inode && deleted_.contains(inode);
  if (planned.target_inode && (planned.target_inode != inode || remade)) {
    planned_deleted_.insert(*planned.target_inode);
    // Its number may be another object's by now.
    if (!deleted_.contains(*planned.target_inode)) {
      Add(PathOf(i, nullptr), "should be deleted and is still there");
    }
  }
  if (inode == 0) return {};
  planned_after_.insert(inode);
  const auto at = after_.find(inode);
  const ChangedObject* change = at == after_.end() ? nullptr : at->second;
  const std::string path = PathOf(i, change);
  auto object = input_.result.Stat(inode);
  if (!object) {
    Add(path, object.error().message);
    return {};
  }
  CheckNames(i, change, path);
  const bool kept_inode = planned.target_inode == inode && !remade;
  const ObjectCheck check{planned, *object, kept_inode ? change : nullptr, kept_inode};
  ASSIGN(std::vector<std::string> differences, CheckObject(check, input_.result, input_.ours));
  for (std::string& what : differences) Add(path, std::move(what));
  return {};
}

void Verifier::CheckNames(size_t i, const ChangedObject* change, const std::string& path) {
  const uint64_t inode = input_.applied.inodes[i];
  if (inode == input_.result.root()) return;
  std::set<TargetName> expected;
  for (const PlannedName& name : input_.plan.objects[i].names) {
    const bool existing = name.parent.kind == DirectoryRef::Kind::kTargetInode;
    expected.insert(
        {existing ? name.parent.value : input_.applied.inodes.at(name.parent.value), name.leaf});
  }
  std::set<TargetName> actual;
  if (change != nullptr) {
    for (const Name& name : change->names_after) actual.insert({name.parent, name.leaf});
  } else {
    for (TargetName& name : input_.target_names.AllNamesOf(inode)) actual.insert(std::move(name));
  }
  if (actual == expected) return;
  std::string names;
  for (const TargetName& name : actual) names += fmt::format(" {}/{}", name.directory, name.leaf);
  names += " instead of";
  for (const TargetName& name : expected) names += fmt::format(" {}/{}", name.directory, name.leaf);
  Add(path, "has the names" + names);
}

void Verifier::CheckExplained(const ChangedObject& change) {
  if (change.after) {
    if (planned_after_.contains(change.after->id.inode)) return;
    Add(change.names_after.front().path, "changed, and the plan does not say so");
  } else if (!planned_deleted_.contains(change.before->id.inode)) {
    Add(change.names_before.front().path, "is gone, and the plan does not say so");
  }
}

}  // namespace

Result<std::vector<Discrepancy>> VerifyChanges(const ResultInput& input) {
  if (input.applied.inodes.size() != input.plan.objects.size()) {
    return Error{Errc::kInvalidArgument, "the result belongs to another plan"};
  }
  return Verifier(input).Run();
}

}  // namespace mica::guest
