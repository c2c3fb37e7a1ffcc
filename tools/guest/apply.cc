// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/apply.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "tools/guest/apply_content.h"
#include "tools/guest/apply_names.h"

namespace mica::guest {
namespace {

Error BadPlan(std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("rebase plan: {}", what)};
}

class Applier {
 public:
  Applier(const ApplyTarget& target, const Plan& plan, Volume& ours, const ApplyOptions& options)
      : target_(target), plan_(plan), ours_(ours), options_(options) {}

  Result<ApplyResult> Run() {
    ASSIGN(work_, FindNameWork(plan_, target_.names, target_.volume));
    result_.inodes.assign(work_.size(), 0);
    for (size_t i = 0; i < work_.size(); ++i) {
      if (work_[i].inode && !work_[i].deleted) result_.inodes[i] = *work_[i].inode;
    }
    TRY(MeasureContent());
    TRY(StageMoves());
    TRY(RemoveFiles());
    TRY(RemoveDirectories());
    TRY(CreateDirectories());
    TRY(PlaceObjects());
    TRY(WriteContents());
    TRY(RemoveStaging());
    TRY(SetAttributes());
    return std::move(result_);
  }

 private:
  enum class DirectoryState : uint8_t { kNew, kInProgress, kMade };

  [[nodiscard]] const PlannedObject& Planned(size_t i) const { return plan_.objects[i]; }
  [[nodiscard]] bool IsNewDirectory(size_t i) const {
    return !work_[i].inode && !work_[i].deleted && Planned(i).kind == ObjectKind::kDirectory;
  }

  Result<void> MeasureContent();
  Result<void> StageMoves();
  Result<void> RemoveFiles();
  Result<void> RemoveDirectories();
  Result<void> CreateDirectories();
  Result<void> CreateDirectory(size_t i, std::vector<DirectoryState>& states);
  Result<void> PlaceObjects();
  Result<void> PlaceObject(size_t i);
  Result<void> WriteContents();
  Result<void> RemoveStaging();
  Result<void> SetAttributes();

  Result<void> MakeStaging();
  Result<uint64_t> Create(size_t i, const Place& at);
  Result<void> Remove(const TargetName& name);
  Result<uint64_t> DirectoryOf(const PlannedName& name) const;
  Result<Place> PlaceOf(const PlannedName& name);
  Result<void> ObjectDone();
  Result<void> BytesDone(uint64_t bytes);
  [[nodiscard]] Result<void> CheckCancelled() const;

  const ApplyTarget& target_;
  const Plan& plan_;
  Volume& ours_;
  const ApplyOptions& options_;
  std::vector<NameWork> work_;
  std::vector<CopyWork> copies_;  // per object, where its content is ours
  ApplyResult result_;
  ApplyProgress progress_;
  std::set<uint64_t> touched_;  // directories that gained or lost a name
  std::optional<uint64_t> staging_;
  std::string staging_leaf_;
  Attributes root_attributes_;  // before there was a staging directory
};

Result<void> Applier::CheckCancelled() const {
  if (options_.cancelled == nullptr || !options_.cancelled->load()) return {};
  return Error{Errc::kCancelled, "the rebase was cancelled"};
}

Result<void> Applier::ObjectDone() {
  ++progress_.objects_done;
  if (options_.progress) options_.progress(progress_);
  return CheckCancelled();
}

Result<void> Applier::BytesDone(uint64_t bytes) {
  result_.bytes_written += bytes;
  progress_.bytes_done += bytes;
  if (options_.progress) options_.progress(progress_);
  return CheckCancelled();
}

Result<void> Applier::MeasureContent() {
  progress_.objects_total = work_.size();
  copies_.resize(work_.size());
  for (size_t i = 0; i < work_.size(); ++i) {
    if (work_[i].deleted || Planned(i).kind != ObjectKind::kRegular) continue;
    if (const auto* ours = std::get_if<OursContent>(&Planned(i).content)) {
      OursContent content = *ours;
      // Ranges are relative to the target's own bytes; a file made anew has none.
      if (!work_[i].inode) content.ranges.reset();
      ASSIGN(copies_[i], FindCopyWork(ours_, content));
      for (const ByteRange& range : copies_[i].stored) progress_.bytes_total += range.length;
    } else if (const auto* merged = std::get_if<MergedContent>(&Planned(i).content)) {
      progress_.bytes_total += merged->bytes.size();
    }
  }
  return {};
}

Result<void> Applier::MakeStaging() {
  if (staging_) return {};
  const uint64_t root = target_.volume.root();
  ASSIGN(const Object object, target_.volume.Stat(root));
  root_attributes_ = object.attributes;
  for (int attempt = 0;; ++attempt) {
    staging_leaf_ = fmt::format(".mica-rebase-{}", attempt);
    ASSIGN(const auto taken, target_.volume.LookupIn(root, staging_leaf_));
    if (!taken) break;
  }
  NewObject directory;
  directory.kind = ObjectKind::kDirectory;
  directory.attributes.mode = 0700;
  ASSIGN(staging_, target_.writer.Create({root, staging_leaf_}, directory));
  return {};
}

Result<void> Applier::Remove(const TargetName& name) {
  touched_.insert(name.directory);
  return target_.writer.Remove({name.directory, name.leaf});
}

// One name goes to the staging directory and keeps the object alive; the others simply go.
Result<void> Applier::StageMoves() {
  for (size_t i = 0; i < work_.size(); ++i) {
    NameWork& work = work_[i];
    if (!work.moves()) continue;
    TRY(MakeStaging());
    const std::string leaf = std::to_string(i);
    touched_.insert(work.lost.front().directory);
    TRY(target_.writer.Rename({work.lost.front().directory, work.lost.front().leaf},
                              {*staging_, leaf}));
    for (const TargetName& name : std::span(work.lost).subspan(1)) TRY(Remove(name));
    work.lost.clear();
    work.staged = true;
    TRY(CheckCancelled());
  }
  return {};
}

Result<void> Applier::RemoveFiles() {
  for (size_t i = 0; i < work_.size(); ++i) {
    NameWork& work = work_[i];
    if (work.lost.empty() || work.was_directory) continue;
    for (const TargetName& name : work.lost) TRY(Remove(name));
    if (work.deleted) TRY(ObjectDone());
  }
  return {};
}

Result<void> Applier::RemoveDirectories() {
  std::vector<std::pair<size_t, size_t>> by_depth;  // depth, object
  for (size_t i = 0; i < work_.size(); ++i) {
    if (work_[i].lost.empty() || !work_[i].was_directory) continue;
    ASSIGN(const size_t depth,
           DepthOf(target_.names, target_.volume.root(), *Planned(i).target_inode));
    by_depth.emplace_back(depth, i);
  }
  std::ranges::sort(by_depth, std::greater<>());
  for (const auto& [depth, i] : by_depth) {
    TRY(Remove(work_[i].lost.front()));
    // Its number may become that of something which is no directory.
    touched_.erase(*Planned(i).target_inode);
    if (work_[i].deleted) TRY(ObjectDone());
  }
  return {};
}

Result<uint64_t> Applier::DirectoryOf(const PlannedName& name) const {
  if (name.parent.kind == DirectoryRef::Kind::kTargetInode) return name.parent.value;
  const uint64_t inode =
      name.parent.value < result_.inodes.size() ? result_.inodes[name.parent.value] : 0;
  if (inode == 0) {
    return BadPlan(
        fmt::format("'{}' lies in object {}, which is not there", name.leaf, name.parent.value));
  }
  return inode;
}

Result<Place> Applier::PlaceOf(const PlannedName& name) {
  ASSIGN(const uint64_t directory, DirectoryOf(name));
  touched_.insert(directory);
  return Place{directory, name.leaf};
}

Result<uint64_t> Applier::Create(size_t i, const Place& at) {
  NewObject object;
  object.kind = Planned(i).kind;
  object.attributes = Planned(i).attributes;
  object.symlink_target = Planned(i).symlink_target;
  object.device_major = Planned(i).device_major;
  object.device_minor = Planned(i).device_minor;
  return target_.writer.Create(at, object);
}

Result<void> Applier::CreateDirectories() {
  std::vector<DirectoryState> states(work_.size(), DirectoryState::kNew);
  for (size_t i = 0; i < work_.size(); ++i) {
    if (IsNewDirectory(i)) TRY(CreateDirectory(i, states));
  }
  return {};
}

// Parents first; a chain of new directories is made from its top.
Result<void> Applier::CreateDirectory(size_t start, std::vector<DirectoryState>& states) {
  std::vector<size_t> chain;
  for (size_t i = start;;) {
    if (states[i] == DirectoryState::kMade) break;
    if (states[i] == DirectoryState::kInProgress) return BadPlan("new directories form a loop");
    if (Planned(i).names.size() != 1) return BadPlan("a directory with several names");
    states[i] = DirectoryState::kInProgress;
    chain.push_back(i);
    const DirectoryRef& parent = Planned(i).names.front().parent;
    if (parent.kind != DirectoryRef::Kind::kPlannedObject || parent.value >= work_.size() ||
        !IsNewDirectory(parent.value)) {
      break;
    }
    i = parent.value;
  }
  for (; !chain.empty(); chain.pop_back()) {
    const size_t i = chain.back();
    ASSIGN(const Place place, PlaceOf(Planned(i).names.front()));
    ASSIGN(result_.inodes[i], Create(i, place));
    states[i] = DirectoryState::kMade;
  }
  return {};
}

Result<void> Applier::PlaceObjects() {
  for (size_t i = 0; i < work_.size(); ++i) {
    if (!work_[i].deleted && !IsNewDirectory(i)) TRY(PlaceObject(i));
    TRY(CheckCancelled());
  }
  return {};
}

Result<void> Applier::PlaceObject(size_t i) {
  NameWork& work = work_[i];
  bool has_name = work.inode && !work.staged;
  for (const PlannedName& name : work.gained) {
    ASSIGN(const Place place, PlaceOf(name));
    if (has_name) {
      TRY(target_.writer.Link(place, result_.inodes[i]));
    } else if (work.staged) {
      TRY(target_.writer.Rename({*staging_, std::to_string(i)}, place));
    } else {
      ASSIGN(result_.inodes[i], Create(i, place));
    }
    has_name = true;
  }
  return {};
}

Result<void> Applier::WriteContents() {
  const PieceDone done = [this](uint64_t bytes) { return BytesDone(bytes); };
  for (size_t i = 0; i < work_.size(); ++i) {
    if (work_[i].deleted || Planned(i).kind != ObjectKind::kRegular) continue;
    if (const auto* ours = std::get_if<OursContent>(&Planned(i).content)) {
      TRY(CopyContent(target_.writer, result_.inodes[i], ours_, ours->inode, copies_[i], done));
    } else if (const auto* merged = std::get_if<MergedContent>(&Planned(i).content)) {
      TRY(WriteContent(target_.writer, result_.inodes[i], merged->bytes, done));
    }
  }
  return {};
}

Result<void> Applier::RemoveStaging() {
  if (!staging_) return {};
  const uint64_t root = target_.volume.root();
  TRY(target_.writer.Remove({root, staging_leaf_}));
  ASSIGN(const Object object, target_.volume.Stat(root));
  if (object.attributes == root_attributes_) return {};
  // A kernel keeps a directory's time itself; for the guest nothing has happened here.
  return target_.writer.SetAttributes(root, root_attributes_);
}

// Also of what was just made: its content came later.
Result<void> Applier::SetAttributes() {
  for (size_t i = 0; i < work_.size(); ++i) {
    const uint64_t inode = result_.inodes[i];
    if (inode == 0) continue;
    touched_.erase(inode);
    ASSIGN(const Object object, target_.volume.Stat(inode));
    if (object.attributes != Planned(i).attributes) {
      TRY(target_.writer.SetAttributes(inode, Planned(i).attributes));
    }
    TRY(ObjectDone());
  }
  for (const uint64_t inode : touched_) {
    Result<Object> object = target_.volume.Stat(inode);
    if (!object && object.error().code == Errc::kNotFound) continue;  // deleted meanwhile
    TRY(object);
    object->attributes.modified = options_.now;
    TRY(target_.writer.SetAttributes(inode, object->attributes));
  }
  return {};
}

}  // namespace

Result<ApplyResult> ApplyPlanTo(const ApplyTarget& target, const Plan& plan, Volume& ours,
                                const ApplyOptions& options) {
  return Applier(target, plan, ours, options).Run();
}

}  // namespace mica::guest
