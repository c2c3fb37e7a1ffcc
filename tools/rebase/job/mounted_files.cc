// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/mounted_files.h"

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "engine/filters/pieces_device.h"
#include "tools/guest/mounted/check.h"
#include "tools/guest/walk.h"

namespace mica::rebase {

namespace {

using guest::ExtentPlace;
using guest::MountedView;

// Whether two versions of a file can differ, from where their content lies.
class PlaceComparison {
 public:
  // `touched`: bytes of the volume outside of which the two disks are equal.
  PlaceComparison(MountedView& before, MountedView& after, std::vector<ByteRange> touched)
      : before_(before), after_(after), touched_(std::move(touched)) {
    std::ranges::sort(touched_, {}, &ByteRange::offset);
    uint64_t end = 0;
    for (ByteRange& range : touched_) {  // no range ends before one that stands in front of it
      end = std::max(end, range.end());
      range = RangeBetween(range.offset, end);
    }
  }

  Result<bool> AreSame(uint64_t before, uint64_t after) {
    ASSIGN(const auto old_places, before_.volume().Extents(before));
    if (!old_places) return false;
    ASSIGN(const auto new_places, after_.volume().Extents(after));
    if (!new_places || *old_places != *new_places) return false;
    return std::ranges::none_of(*new_places,
                                [this](const ExtentPlace& place) { return IsTouched(place); });
  }

 private:
  [[nodiscard]] bool IsTouched(const ExtentPlace& place) const {
    if ((place.flags & FIEMAP_EXTENT_DATA_INLINE) != 0) return false;  // told by a digest
    const auto first = std::ranges::upper_bound(touched_, place.place, {}, &ByteRange::end);
    return first != touched_.end() && first->offset < place.place + place.length;
  }

  MountedView& before_;
  MountedView& after_;
  std::vector<ByteRange> touched_;
};

// A file system keeps its UUID through every change and every copy of its blocks.
bool SameFileSystem(const MountedView& before, const MountedView& after) {
  return before.superblock().uuid == after.superblock().uuid;
}

void AddReplayed(const MountedView& view, std::vector<ByteRange>& to) {
  const std::vector<ByteRange> replayed = view.replayed();
  to.insert(to.end(), replayed.begin(), replayed.end());
}

// The cause of an error, where the kernel has none to tell.
template <class T>
Result<T> Explained(Result<T> result, const MountedView& before, const MountedView& after) {
  if (result) return result;
  for (const MountedView* const view : {&before, &after}) {
    if (const std::optional<Error> cause = view->failed()) return *cause;
  }
  return result;
}

Result<VolumeDiff> DiffViews(MountedView& before, MountedView& after,
                             std::vector<ByteRange> touched) {
  guest::WalkOptions options;
  if (!SameFileSystem(before, after)) {
    options.match = guest::MatchBy::kPath;
    return Explained(DiffByWalk(before.volume(), after.volume(), options), before, after);
  }
  AddReplayed(before, touched);
  AddReplayed(after, touched);
  PlaceComparison places(before, after, std::move(touched));
  options.same_content = [&places](uint64_t old_inode, uint64_t new_inode) {
    return places.AreSame(old_inode, new_inode);
  };
  return Explained(DiffByWalk(before.volume(), after.volume(), options), before, after);
}

class MountedResult final : public ResultFiles {
 public:
  MountedResult(MountedView& target, guest::Volume& ours, std::unique_ptr<MountedView> view,
                std::vector<ByteRange> touched)
      : target_(target), ours_(ours), view_(std::move(view)), touched_(std::move(touched)) {}

  guest::Volume& volume() override { return view_->volume(); }
  Result<std::vector<guest::Discrepancy>> CompareWith(const guest::Plan& plan,
                                                      const guest::ApplyResult& applied) override {
    ASSIGN(const VolumeDiff diff, DiffViews(target_, *view_, touched_));
    ASSIGN(const guest::WalkTree names, guest::WalkTree::Read(target_.volume()));
    return guest::VerifyChanges({plan, applied, diff.changes, names, view_->volume(), ours_});
  }

 private:
  MountedView& target_;
  guest::Volume& ours_;
  std::unique_ptr<MountedView> view_;
  std::vector<ByteRange> touched_;
};

}  // namespace

Result<std::unique_ptr<VolumeFiles>> MountedFiles::Open(guest::Mounter& mounter,
                                                        RebaseImages& images,
                                                        const VolumePair& pair) {
  std::unique_ptr<MountedFiles> files(new MountedFiles(mounter, images, pair));
  ASSIGN(files->base_, files->OpenView(*images.base, pair.base, images.base->layer(0).info().path));
  ASSIGN(files->ours_, files->OpenView(*images.vm, pair.base, images.vm_path));
  ASSIGN(files->target_, files->OpenView(*images.target, pair.target, images.target_path));
  return std::unique_ptr<VolumeFiles>(std::move(files));
}

Result<std::unique_ptr<MountedView>> MountedFiles::OpenView(ImageChain& chain,
                                                            const std::vector<ByteRange>& pieces,
                                                            const std::string& what) {
  Result<std::unique_ptr<MountedView>> view =
      MountedView::Open(mounter_, {chain, pieces, pair_.kind}, guest::MountAccess::kReadOnly);
  if (!view) return std::move(view).error().WithContext(what);
  return view;
}

Result<VolumeDiff> MountedFiles::DiffOurs() {
  return DiffViews(*base_, *ours_, pair_.touched);
}

Result<const VolumeDiff*> MountedFiles::DiffTheirs() {
  if (their_diff_) return &*their_diff_;
  std::vector<ByteRange> patched;
  if (pair_.base == pair_.target) {
    ASSIGN(const std::vector<ByteRange> masters_differ,
           SyncWait(mounter_.loop(), DifferingRanges(*images_.base, *images_.target)));
    patched = RangesWithin(masters_differ, pair_.base);
  } else {
    // The volume lies elsewhere on the new disk: every block of it can differ.
    patched.push_back(ByteRange{0, std::max(BytesOf(pair_.base), BytesOf(pair_.target))});
  }
  ASSIGN(their_diff_, DiffViews(*base_, *target_, std::move(patched)));
  return &*their_diff_;
}

Result<guest::ApplyResult> MountedFiles::Apply(ImageChain& result, const guest::Plan& plan,
                                               const guest::ApplyOptions& options) {
  ASSIGN(const guest::WalkTree names, guest::WalkTree::Read(target_->volume()));
  ASSIGN(const std::unique_ptr<MountedView> view,
         MountedView::OpenLike(mounter_, {result, pair_.target, pair_.kind}, *target_));
  Result<guest::ApplyResult> applied =
      guest::ApplyPlanTo({view->volume(), view->writer(), names}, plan, ours_->volume(), options);
  const Result<void> closed = view->Close();
  TRY(closed);  // first: an error of the host's is the cause of the guest's
  if (!applied && applied.error().code == Errc::kNoSpace) {
    return std::move(applied).error().WithContext(
        "the file system of the new master has no room for what the VM adds");
  }
  return applied;
}

Result<guest::CaughtUp> MountedFiles::CatchUp(ImageChain& result, const EarlierFiles& earlier,
                                              const guest::Plan& plan,
                                              const guest::ApplyOptions& options) {
  // Of the same kind: both are of one volume of the same masters.
  MountedView& then = *static_cast<MountedFiles&>(earlier.files).ours_;
  std::vector<ByteRange> written = earlier.changed;
  AddReplayed(then, written);
  AddReplayed(*ours_, written);
  PlaceComparison places(then, *ours_, std::move(written));
  const guest::ContentChangeOf changed =
      [&](uint64_t inode) -> Result<std::optional<guest::ContentChange>> {
    const std::optional<guest::ContentChange> unknown;
    const Result<guest::Object> before = then.volume().Stat(inode);
    ASSIGN(const guest::Object now, ours_->volume().Stat(inode));
    if (!before || before->id != now.id || before->size != now.size) return unknown;
    ASSIGN(const bool same, places.AreSame(inode, inode));
    return same ? std::optional(guest::ContentChange()) : unknown;
  };
  ASSIGN(const guest::WalkTree target_names, guest::WalkTree::Read(target_->volume()));
  const guest::CatchUpTarget target{target_->volume(), target_names};
  ASSIGN(const std::unique_ptr<MountedView> view,
         MountedView::Open(mounter_, {result, pair_.target, pair_.kind},
                           guest::MountAccess::kReadWrite));
  // Makes its objects known to the mounter.
  TRY(guest::WalkTree::Read(view->volume()));
  Result<guest::CaughtUp> caught_up =
      guest::CatchUpWith({earlier.plan, plan, target, ours_->volume(), changed}, view->volume(),
                         view->writer(), options);
  const Result<void> closed = view->Close();
  TRY(caught_up);
  TRY(closed);
  return caught_up;
}

Result<std::unique_ptr<ResultFiles>> MountedFiles::OpenResult(ImageChain& result) {
  ASSIGN(const std::vector<ByteRange> written, SyncWait(mounter_.loop(), RangesAbove(result, 1)));
  ASSIGN(std::unique_ptr<MountedView> view, OpenView(result, pair_.target, "the result"));
  // Whoever looks for an inode of the plan has not been in its directory.
  TRY(guest::WalkTree::Read(view->volume()));
  return std::unique_ptr<ResultFiles>(std::make_unique<MountedResult>(
      *target_, ours_->volume(), std::move(view), RangesWithin(written, pair_.target)));
}

Result<std::optional<std::string>> MountedFiles::Check(ImageChain& result,
                                                       const std::string& /*scratch_folder*/) {
  PiecesDevice device(result, pair_.target);
  ASSIGN(const guest::CheckReport checked, guest::CheckMounted(mounter_, device, pair_.kind));
  if (checked.clean) return std::optional<std::string>();
  const std::string_view program =
      pair_.kind == guest::VolumeKind::kXfs ? "xfs_repair -n: " : "btrfs check: ";
  return std::optional(std::string(program) + checked.text);
}

}  // namespace mica::rebase
