// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/carried_out.h"

#include <fmt/format.h>

#include <string>

#include "tools/guest/text.h"

namespace mica::guest {

namespace {

std::string Describe(const PlannedObject& planned) {
  if (!planned.names.empty()) return DisplayText(planned.names.front().leaf);
  return fmt::format("inode {} of the new master", planned.target_inode.value_or(0));
}

}  // namespace

CarriedOut::CarriedOut(const Plan& plan, const std::vector<uint64_t>& inodes,
                       const NameSource& before)
    : plan_(plan), inodes_(inodes), before_(before) {
  for (size_t i = 0; i < size(); ++i) {
    const std::optional<uint64_t>& target = Planned(i).target_inode;
    if (target) by_target_.emplace(*target, i);
    if (Inode(i) != 0) by_inode_.emplace(Inode(i), i);
  }
}

std::optional<size_t> CarriedOut::OfTarget(uint64_t target_inode) const {
  const auto found = by_target_.find(target_inode);
  return found == by_target_.end() ? std::nullopt : std::optional(found->second);
}

uint64_t CarriedOut::Directory(const DirectoryRef& ref) const {
  if (ref.kind == DirectoryRef::Kind::kPlannedObject) return inodes_.at(ref.value);
  const std::optional<size_t> planned = OfTarget(ref.value);
  return planned ? Inode(*planned) : ref.value;
}

std::set<TargetName> CarriedOut::NamesOf(size_t i) const {
  std::set<TargetName> names;
  for (const PlannedName& name : Planned(i).names) {
    names.insert({Directory(name.parent), name.leaf});
  }
  return names;
}

std::vector<TargetName> CarriedOut::AllNamesOf(uint64_t inode) const {
  const auto found = by_inode_.find(inode);
  if (found == by_inode_.end()) return before_.AllNamesOf(inode);
  const std::set<TargetName> names = NamesOf(found->second);
  return {names.begin(), names.end()};
}

Error Misfit(const PlannedObject& planned, std::string_view what) {
  return {Errc::kMismatch, fmt::format("{}: {}", Describe(planned), what)};
}

}  // namespace mica::guest
