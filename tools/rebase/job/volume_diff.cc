// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_diff.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/ext4/diff.h"
#include "tools/guest/text.h"
#include "tools/guest/walk.h"

namespace mica::rebase {

namespace {

// What no rename makes, and what nothing that carries a directory could make again.
Result<void> CheckDirectories(const guest::ChangeSet& changes) {
  for (const guest::ChangedObject& object : changes.objects) {
    if (!object.after || object.after->kind != guest::ObjectKind::kDirectory) continue;
    if (object.names_after.size() <= 1) continue;
    return Error{
        Errc::kCorrupt,
        fmt::format("a directory has {} names, such as {} and {}: the file system is "
                    "damaged, e2fsck -f may repair it",
                    object.names_after.size(), guest::DisplayText(object.names_after[0].path),
                    guest::DisplayText(object.names_after[1].path))};
  }
  return {};
}

}  // namespace

std::string_view DiffMethodName(DiffMethod method) {
  switch (method) {
    case DiffMethod::kDeltaBounded:
      return "delta-bounded";
    case DiffMethod::kWalkById:
      return "walk-by-id";
    case DiffMethod::kWalkByPath:
      return "walk-by-path";
  }
  return "unknown";
}

// A file system keeps its UUID through every change and every copy of its blocks.
bool VolumeDiffer::SameFileSystem(guest::Ext4View& after) const {
  return std::ranges::equal(before_.volume().fs()->super->s_uuid,
                            after.volume().fs()->super->s_uuid);
}

Result<VolumeDiff> VolumeDiffer::To(guest::Ext4View& after, std::vector<ByteRange> touched) {
  ASSIGN(VolumeDiff diff, DiffTo(after, std::move(touched)));
  TRY(CheckDirectories(diff.changes));
  return diff;
}

Result<VolumeDiff> VolumeDiffer::DiffTo(guest::Ext4View& after, std::vector<ByteRange> touched) {
  if (!SameFileSystem(after)) return Walk(after);
  // What a replayed journal changed is not in the delta yet; either side may have been dirty.
  touched.insert(touched.end(), before_.replayed().begin(), before_.replayed().end());
  touched.insert(touched.end(), after.replayed().begin(), after.replayed().end());
  const guest::DiffInput input{before_.volume(), index_, after.volume(), std::move(touched)};
  Result<guest::ChangeSet> changes = guest::DiffVolumes(input);
  if (!changes && changes.error().code == Errc::kMismatch) return Walk(after);
  if (!changes) return std::move(changes).error();
  return VolumeDiff{std::move(*changes), std::make_unique<SameInodeLineage>(),
                    DiffMethod::kDeltaBounded};
}

Result<VolumeDiff> VolumeDiffer::Walk(guest::Ext4View& after) {
  guest::WalkOptions options;
  options.match = SameFileSystem(after) ? guest::MatchBy::kObjectId : guest::MatchBy::kPath;
  return DiffByWalk(before_.volume(), after.volume(), options);
}

Result<VolumeDiff> DiffByWalk(guest::Volume& before, guest::Volume& after,
                              const guest::WalkOptions& options) {
  ASSIGN(guest::WalkResult walked, guest::WalkVolumes(before, after, options));
  TRY(CheckDirectories(walked.changes));
  VolumeDiff diff;
  diff.changes = std::move(walked.changes);
  if (options.match == guest::MatchBy::kObjectId) {
    diff.method = DiffMethod::kWalkById;
    diff.lineage = std::make_unique<SameInodeLineage>();
    return diff;
  }
  diff.method = DiffMethod::kWalkByPath;
  ASSIGN(PathLineage lineage, PathLineage::Build(before, after));
  diff.lineage = std::make_unique<PathLineage>(std::move(lineage));
  return diff;
}

}  // namespace mica::rebase
