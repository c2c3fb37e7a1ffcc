// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/catch_up.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tools/guest/plan_lookup.h"
#include "tools/guest/text.h"

namespace mica::guest {

namespace {

using Names = std::set<TargetName>;

// The inode of a directory in the volume that the plan was carried out on; 0: it is gone.
class Carried {
 public:
  explicit Carried(const CarriedOut& out) : out_(out) {
    for (size_t i = 0; i < out.plan.objects.size(); ++i) {
      const std::optional<uint64_t>& target = out.plan.objects[i].target_inode;
      if (target) by_target_.emplace(*target, i);
    }
  }

  [[nodiscard]] const PlannedObject& Planned(size_t i) const { return out_.plan.objects[i]; }
  [[nodiscard]] uint64_t Inode(size_t i) const { return out_.inodes[i]; }
  [[nodiscard]] size_t size() const { return out_.plan.objects.size(); }
  // What the plan did to an object of the target; none: nothing.
  [[nodiscard]] std::optional<size_t> OfTarget(uint64_t target_inode) const {
    const auto found = by_target_.find(target_inode);
    return found == by_target_.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] uint64_t Directory(const DirectoryRef& ref) const {
    if (ref.kind == DirectoryRef::Kind::kPlannedObject) return out_.inodes.at(ref.value);
    const std::optional<size_t> planned = OfTarget(ref.value);
    return planned ? Inode(*planned) : ref.value;
  }
  [[nodiscard]] Names NamesOf(size_t i) const {
    Names names;
    for (const PlannedName& name : Planned(i).names) {
      names.insert({Directory(name.parent), name.leaf});
    }
    return names;
  }

 private:
  CarriedOut out_;
  std::map<uint64_t, size_t> by_target_;
};

std::string Describe(const PlannedObject& planned) {
  if (!planned.names.empty()) return DisplayText(planned.names.front().leaf);
  return fmt::format("inode {} of the new master", planned.target_inode.value_or(0));
}

bool KeepsContent(const PlannedObject& planned) {
  return std::holds_alternative<KeepContent>(planned.content);
}

Error Misfit(const PlannedObject& planned, std::string_view what) {
  return {Errc::kMismatch, fmt::format("{}: {}", Describe(planned), what)};
}

class Planner {
 public:
  Planner(const CarriedOut& earlier, const Plan& later, const CatchUpTarget& target,
          const ContentChangeOf& changed)
      : earlier_(earlier), later_(later), target_(target), changed_(changed) {
    for (size_t j = 0; j < earlier_.size(); ++j) {
      if (earlier_.Planned(j).target_inode || earlier_.Inode(j) == 0) continue;
      for (const TargetName& name : earlier_.NamesOf(j)) made_.emplace(name, j);
    }
  }

  Result<CatchUp> Run() {
    const size_t wanted = later_.objects.size();
    TRY(RestoreWhatIsNotWanted());
    matches_.resize(later_.objects.size());
    taken_.resize(earlier_.size());
    for (size_t i = 0; i < later_.objects.size(); ++i) TRY(Match(i));
    // Which objects get a step decides how names speak of new directories.
    catch_up_.objects.resize(later_.objects.size());
    for (size_t i = 0; i < later_.objects.size(); ++i) TRY(Consider(i));
    for (size_t i = 0; i < later_.objects.size(); ++i) SetNames(i);
    TRY(RemoveWhatIsNotWanted());
    catch_up_.objects.resize(wanted);
    return std::move(catch_up_);
  }

 private:
  struct Matched {
    enum class State : uint8_t { kNew, kInProgress, kDone } state = State::kNew;
    std::optional<size_t> earlier;
  };

  Result<void> Match(size_t i);
  Result<void> MatchMade(size_t i);
  Result<std::optional<uint64_t>> Directory(const DirectoryRef& ref);
  Result<void> Consider(size_t i);
  Result<bool> SameNames(size_t i, size_t j);
  Result<bool> IsSame(size_t i, size_t j, const PlannedObject& step);
  Result<void> PlanContent(const PlannedObject& later, const PlannedObject& earlier,
                           PlannedObject& step);
  Result<void> PlanOurContent(const OursContent& later, const PlannedObject& earlier,
                              PlannedObject& step);
  void SetNames(size_t i);
  Result<void> RestoreWhatIsNotWanted();
  void AddTouched(const PlannedObject& planned, std::set<uint64_t>& touched) const;
  Result<PlannedObject> AsInTarget(uint64_t inode);
  Result<MergedContent> ContentInTarget(uint64_t inode);
  Result<void> RemoveWhatIsNotWanted();

  Carried earlier_;
  Plan later_;
  const CatchUpTarget& target_;
  const ContentChangeOf& changed_;
  std::map<TargetName, size_t> made_;  // objects that the earlier plan made, by name
  std::vector<Matched> matches_;       // for each later object the earlier one that becomes it
  std::vector<bool> taken_;
  CatchUp catch_up_;
};

// An object of the target is itself. One that is made anew is the one that was made under the same
// name; what they differ in is a step like any other.
Result<void> Planner::Match(size_t i) {
  Matched& match = matches_[i];
  if (match.state == Matched::State::kDone) return {};
  if (match.state == Matched::State::kInProgress) {
    return Misfit(later_.objects[i], "directories that form a loop");
  }
  match.state = Matched::State::kInProgress;
  if (const std::optional<uint64_t>& target = later_.objects[i].target_inode) {
    match.earlier = earlier_.OfTarget(*target);
  } else {
    TRY(MatchMade(i));
  }
  match.state = Matched::State::kDone;
  if (match.earlier) taken_[*match.earlier] = true;
  return {};
}

Result<void> Planner::MatchMade(size_t i) {
  const PlannedObject& later = later_.objects[i];
  for (const PlannedName& name : later.names) {
    ASSIGN(const std::optional<uint64_t> directory, Directory(name.parent));
    if (!directory) continue;
    const auto found = made_.find({*directory, name.leaf});
    if (found == made_.end() || taken_[found->second]) continue;
    if (earlier_.Planned(found->second).kind != later.kind) continue;
    matches_[i].earlier = found->second;
    return {};
  }
  return {};
}

// Where a directory of the later plan is now; none: it is still to be made.
Result<std::optional<uint64_t>> Planner::Directory(const DirectoryRef& ref) {
  uint64_t inode = 0;
  if (ref.kind == DirectoryRef::Kind::kTargetInode) {
    inode = earlier_.Directory(ref);
  } else {
    TRY(Match(ref.value));
    const std::optional<size_t>& match = matches_.at(ref.value).earlier;
    const std::optional<uint64_t>& target = later_.objects[ref.value].target_inode;
    if (match) inode = earlier_.Inode(*match);
    if (!match && target) inode = *target;
  }
  return inode == 0 ? std::nullopt : std::optional(inode);
}

Result<bool> Planner::SameNames(size_t i, size_t j) {
  Names wanted;
  for (const PlannedName& name : later_.objects[i].names) {
    ASSIGN(const std::optional<uint64_t> directory, Directory(name.parent));
    if (!directory) return false;
    wanted.insert({*directory, name.leaf});
  }
  return wanted == earlier_.NamesOf(j);
}

Result<void> Planner::PlanOurContent(const OursContent& later, const PlannedObject& earlier,
                                     PlannedObject& step) {
  const auto* const copied = std::get_if<OursContent>(&earlier.content);
  if (KeepsContent(earlier)) {
    step.content = later;  // its ranges are still relative to the target's own bytes
    return {};
  }
  step.content = OursContent{later.inode, std::nullopt};
  if (copied == nullptr || copied->inode != later.inode) return {};
  ASSIGN(std::optional<ContentChange> change, changed_(later.inode));
  if (!change) return {};
  if (change->none()) {
    step.content = KeepContent{};
  } else {
    step.content = OursContent{later.inode, std::move(change->ranges)};
  }
  return {};
}

Result<void> Planner::PlanContent(const PlannedObject& later, const PlannedObject& earlier,
                                  PlannedObject& step) {
  if (later.kind != ObjectKind::kRegular) return {};
  if (const auto* const ours = std::get_if<OursContent>(&later.content)) {
    return PlanOurContent(*ours, earlier, step);
  }
  if (const auto* const merged = std::get_if<MergedContent>(&later.content)) {
    const auto* const before = std::get_if<MergedContent>(&earlier.content);
    if (before != nullptr && before->bytes == merged->bytes) step.content = KeepContent{};
    return {};
  }
  if (KeepsContent(earlier)) return {};
  if (!later.target_inode) return Misfit(later, "has no content");
  ASSIGN(step.content, ContentInTarget(*later.target_inode));
  return {};
}

// Whether nothing is to be done. A directory always gets a step, as what happens in it would
// change its time.
Result<bool> Planner::IsSame(size_t i, size_t j, const PlannedObject& step) {
  const PlannedObject& earlier = earlier_.Planned(j);
  if (step.kind == ObjectKind::kDirectory || step.kind != earlier.kind) return false;
  if (!KeepsContent(step) || step.attributes != earlier.attributes) return false;
  if (step.symlink_target != earlier.symlink_target) return false;
  if (step.device_major != earlier.device_major) return false;
  if (step.device_minor != earlier.device_minor) return false;
  return SameNames(i, j);
}

Result<void> Planner::Consider(size_t i) {
  const PlannedObject& later = later_.objects[i];
  const std::optional<size_t> match = matches_[i].earlier;
  const uint64_t inode = match ? earlier_.Inode(*match) : later.target_inode.value_or(0);
  const bool gone = match && inode == 0;
  catch_up_.objects[i].inode = inode;
  const bool deleted = later.names.empty() && later.target_inode != target_.volume.root();
  if (deleted && gone) return {};
  PlannedObject step = later;
  step.target_inode = inode == 0 ? std::nullopt : std::optional(inode);
  if (!deleted && gone && later.target_inode && KeepsContent(later)) {
    return Misfit(later, "is to be kept and was deleted");
  }
  if (!deleted && match && !gone) {
    TRY(PlanContent(later, earlier_.Planned(*match), step));
    ASSIGN(const bool same, IsSame(i, *match, step));
    if (same) return {};
  }
  catch_up_.objects[i].step = catch_up_.plan.objects.size();
  catch_up_.plan.objects.push_back(std::move(step));
  return {};
}

// Directories that there are already are named by their inode, others by their step.
void Planner::SetNames(size_t i) {
  const std::optional<size_t> step = catch_up_.objects[i].step;
  if (!step) return;
  for (PlannedName& name : catch_up_.plan.objects[*step].names) {
    using Kind = DirectoryRef::Kind;
    if (name.parent.kind == Kind::kTargetInode) {
      name.parent.value = earlier_.Directory(name.parent);
      continue;
    }
    const CatchUp::Object& parent = catch_up_.objects.at(name.parent.value);
    const bool is_made = parent.inode == 0;
    name.parent = is_made ? DirectoryRef{Kind::kPlannedObject, parent.step.value_or(0)}
                          : DirectoryRef{Kind::kTargetInode, parent.inode};
  }
}

Result<MergedContent> Planner::ContentInTarget(uint64_t inode) {
  ASSIGN(std::string bytes, ReadWhole(target_.volume, inode, kRestoredBytesMax));
  return MergedContent{std::move(bytes)};
}

Result<PlannedObject> Planner::AsInTarget(uint64_t inode) {
  ASSIGN(const Object object, target_.volume.Stat(inode));
  PlannedObject planned;
  planned.target_inode = inode;
  planned.kind = object.kind;
  planned.attributes = object.attributes;
  planned.symlink_target = object.symlink_target;
  planned.device_major = object.device_major;
  planned.device_minor = object.device_minor;
  for (TargetName& name : target_.names.AllNamesOf(inode)) {
    planned.names.push_back(
        {{DirectoryRef::Kind::kTargetInode, name.directory}, std::move(name.leaf)});
  }
  return planned;
}

// Directories of the target in which a planned object gains or loses a name.
void Planner::AddTouched(const PlannedObject& planned, std::set<uint64_t>& touched) const {
  Names names;
  for (const PlannedName& name : planned.names) {
    const bool in_target = name.parent.kind == DirectoryRef::Kind::kTargetInode;
    if (in_target) names.insert({name.parent.value, name.leaf});
  }
  if (planned.target_inode) {
    for (TargetName& name : target_.names.AllNamesOf(*planned.target_inode)) {
      const uint64_t directory = name.directory;
      if (names.erase(name) == 0) touched.insert(directory);
    }
  }
  for (const TargetName& name : names) touched.insert(name.directory);
}

// What the earlier plan changed of the target and the later one does not mention is to be as it is
// there: as if the later plan said so. That goes for the times of directories, too.
Result<void> Planner::RestoreWhatIsNotWanted() {
  std::set<uint64_t> still_touched;
  for (const PlannedObject& planned : later_.objects) AddTouched(planned, still_touched);
  std::set<uint64_t> touched;
  std::set<uint64_t> mentioned;
  for (const PlannedObject& planned : later_.objects) {
    if (planned.target_inode) mentioned.insert(*planned.target_inode);
  }
  for (size_t j = 0; j < earlier_.size(); ++j) {
    const PlannedObject& planned = earlier_.Planned(j);
    AddTouched(planned, touched);
    if (!planned.target_inode || mentioned.contains(*planned.target_inode)) continue;
    // Made anew it would not be the same object.
    if (earlier_.Inode(j) == 0) return Misfit(planned, "was deleted and is to be kept");
    ASSIGN(PlannedObject restored, AsInTarget(*planned.target_inode));
    later_.objects.push_back(std::move(restored));
    mentioned.insert(*planned.target_inode);
  }
  for (const uint64_t directory : touched) {
    if (mentioned.contains(directory) || still_touched.contains(directory)) continue;
    ASSIGN(PlannedObject restored, AsInTarget(directory));
    later_.objects.push_back(std::move(restored));
  }
  return {};
}

// What the earlier plan made and the later one does not know.
Result<void> Planner::RemoveWhatIsNotWanted() {
  for (size_t j = 0; j < earlier_.size(); ++j) {
    if (taken_[j]) continue;
    const PlannedObject& planned = earlier_.Planned(j);
    if (earlier_.Inode(j) == 0) return Misfit(planned, "is not there");
    PlannedObject step;
    step.target_inode = earlier_.Inode(j);
    step.kind = planned.kind;
    catch_up_.plan.objects.push_back(std::move(step));
  }
  return {};
}

}  // namespace

Result<CatchUp> PlanCatchUp(const CarriedOut& earlier, const Plan& later,
                            const CatchUpTarget& target, const ContentChangeOf& changed) {
  return Planner(earlier, later, target, changed).Run();
}

Result<CaughtUp> CatchUpWith(const CatchUpInput& input, Volume& result, VolumeWriter& writer,
                             const ApplyOptions& options) {
  ASSIGN(const std::vector<uint64_t> inodes, FindPlanned(input.earlier, result));
  const CarriedOut carried{input.earlier, inodes};
  ASSIGN(const CatchUp catch_up, PlanCatchUp(carried, input.later, input.target, input.changed));
  const NamesAfter names(carried, input.target.names);
  ASSIGN(const ApplyResult applied,
         ApplyPlanTo({result, writer, names}, catch_up.plan, input.ours, options));
  CaughtUp caught_up;
  caught_up.applied.bytes_written = applied.bytes_written;
  for (const CatchUp::Object& object : catch_up.objects) {
    caught_up.applied.inodes.push_back(object.step ? applied.inodes.at(*object.step)
                                                   : object.inode);
  }
  caught_up.steps = catch_up.plan.objects.size();
  return caught_up;
}

NamesAfter::NamesAfter(const CarriedOut& earlier, const NameSource& before) : before_(before) {
  const Carried carried(earlier);
  for (size_t i = 0; i < carried.size(); ++i) {
    if (carried.Inode(i) == 0) continue;
    const Names names = carried.NamesOf(i);
    planned_.emplace(carried.Inode(i), std::vector<TargetName>(names.begin(), names.end()));
  }
}

std::vector<TargetName> NamesAfter::AllNamesOf(uint64_t inode) const {
  const auto found = planned_.find(inode);
  return found == planned_.end() ? before_.AllNamesOf(inode) : found->second;
}

}  // namespace mica::guest
