// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/catch_up.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "tools/guest/carried_out.h"
#include "tools/guest/catch_up_restore.h"
#include "tools/guest/plan_lookup.h"

namespace mica::guest {

namespace {

// Larger files are not made anew from the target.
constexpr uint64_t kRestoredBytesMax = uint64_t{8} << 20;

bool KeepsContent(const PlannedObject& planned) {
  return std::holds_alternative<KeepContent>(planned.content);
}

// The steps from the one state to the other.
struct Steps {
  Plan plan;  // its target is the volume that the earlier plan was carried out on
  // For each object of the later plan: the step in `plan` that makes it so, or else the inode that
  // is so already (0: deleted).
  struct Object {
    std::optional<size_t> step;
    uint64_t inode = 0;
  };
  std::vector<Object> objects;
};

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

  Result<Steps> Run() {
    const size_t wanted = later_.objects.size();
    ASSIGN(std::vector<PlannedObject> restored, RestoredObjects(earlier_, later_, target_));
    std::ranges::move(restored, std::back_inserter(later_.objects));
    matches_.resize(later_.objects.size());
    taken_.resize(earlier_.size());
    for (size_t i = 0; i < later_.objects.size(); ++i) TRY(Match(i));
    // Which objects get a step decides how names speak of new directories.
    steps_.objects.resize(later_.objects.size());
    for (size_t i = 0; i < later_.objects.size(); ++i) TRY(Consider(i));
    for (size_t i = 0; i < later_.objects.size(); ++i) SetNames(i);
    TRY(RemoveWhatIsNotWanted());
    steps_.objects.resize(wanted);
    return std::move(steps_);
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
  Result<MergedContent> ContentInTarget(uint64_t inode);
  Result<void> RemoveWhatIsNotWanted();

  const CarriedOut& earlier_;
  Plan later_;
  const CatchUpTarget& target_;
  const ContentChangeOf& changed_;
  std::map<TargetName, size_t> made_;  // objects that the earlier plan made, by name
  std::vector<Matched> matches_;       // for each later object the earlier one that becomes it
  std::vector<bool> taken_;
  Steps steps_;
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
  std::set<TargetName> wanted;
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
  steps_.objects[i].inode = inode;
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
  steps_.objects[i].step = steps_.plan.objects.size();
  steps_.plan.objects.push_back(std::move(step));
  return {};
}

// Directories that there are already are named by their inode, others by their step.
void Planner::SetNames(size_t i) {
  const std::optional<size_t> step = steps_.objects[i].step;
  if (!step) return;
  for (PlannedName& name : steps_.plan.objects[*step].names) {
    using Kind = DirectoryRef::Kind;
    if (name.parent.kind == Kind::kTargetInode) {
      name.parent.value = earlier_.Directory(name.parent);
      continue;
    }
    const Steps::Object& parent = steps_.objects.at(name.parent.value);
    const bool is_made = parent.inode == 0;
    name.parent = is_made ? DirectoryRef{Kind::kPlannedObject, parent.step.value_or(0)}
                          : DirectoryRef{Kind::kTargetInode, parent.inode};
  }
}

Result<MergedContent> Planner::ContentInTarget(uint64_t inode) {
  ASSIGN(std::string bytes, ReadWhole(target_.volume, inode, kRestoredBytesMax));
  return MergedContent{std::move(bytes)};
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
    steps_.plan.objects.push_back(std::move(step));
  }
  return {};
}

}  // namespace

Result<CaughtUp> CatchUpWith(const CatchUpInput& input, Volume& result, VolumeWriter& writer,
                             const ApplyOptions& options) {
  ASSIGN(const std::vector<uint64_t> inodes, FindPlanned(input.earlier, result));
  const CarriedOut earlier(input.earlier, inodes, input.target.names);
  ASSIGN(const Steps steps, Planner(earlier, input.later, input.target, input.changed).Run());
  ASSIGN(const ApplyResult applied,
         ApplyPlanTo({result, writer, earlier}, steps.plan, input.ours, options));
  CaughtUp caught_up;
  caught_up.applied.bytes_written = applied.bytes_written;
  for (const Steps::Object& object : steps.objects) {
    caught_up.applied.inodes.push_back(object.step ? applied.inodes.at(*object.step)
                                                   : object.inode);
  }
  caught_up.steps = steps.plan.objects.size();
  return caught_up;
}

}  // namespace mica::guest
