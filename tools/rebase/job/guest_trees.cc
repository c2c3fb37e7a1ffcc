// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/guest_trees.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tools/guest/ext4/view.h"
#include "tools/guest/joined_tree.h"
#include "tools/rebase/job/layout.h"

namespace mica::rebase {

namespace {

using guest::JoinedTree;

// The volumes of one version.
class OneTree {
 public:
  OneTree(EventLoop& loop, BlockDevice& disk) : loop_(loop), disk_(disk) {}

  void Add(const std::vector<ByteRange>& pieces, const std::string& mount_point) {
    Result<std::unique_ptr<guest::Ext4View>> view = guest::Ext4View::Open(loop_, disk_, pieces);
    if (!view) return;
    mounts_.push_back({mount_point, &(*view)->volume()});
    views_.push_back(std::move(*view));
  }

  // Null when the root directory is none of them.
  Result<guest::Volume*> Join() {
    const bool rooted = std::ranges::any_of(
        mounts_, [](const JoinedTree::Mount& mount) { return mount.path.empty(); });
    if (!rooted) return static_cast<guest::Volume*>(nullptr);
    ASSIGN(tree_, JoinedTree::Join(mounts_));
    return static_cast<guest::Volume*>(tree_.get());
  }

 private:
  EventLoop& loop_;
  BlockDevice& disk_;
  std::vector<std::unique_ptr<guest::Ext4View>> views_;
  std::vector<JoinedTree::Mount> mounts_;
  std::unique_ptr<JoinedTree> tree_;
};

}  // namespace

Result<std::optional<GuestFacts>> ReadGuestFacts(EventLoop& loop, RebaseImages& images,
                                                 const MountTable& table, const Policy& policy) {
  OneTree base(loop, *images.base);
  OneTree ours(loop, *images.vm);
  OneTree theirs(loop, *images.target);
  std::vector<std::string> mount_points;
  ASSIGN(const std::vector<VolumePair> pairs, MatchMasters(loop, images));
  for (const VolumePair& pair : pairs) {
    if (!table.IsMounted(pair.target)) continue;
    const std::string mount_point = table.PathOf(pair.target, pair.id);
    mount_points.push_back(mount_point);
    base.Add(pair.base, mount_point);
    ours.Add(pair.base, mount_point);
    theirs.Add(pair.target, mount_point);
  }
  if (mount_points.size() < 2) return std::optional<GuestFacts>();
  ASSIGN(guest::Volume* const before, base.Join());
  ASSIGN(guest::Volume* const our_tree, ours.Join());
  ASSIGN(guest::Volume* const their_tree, theirs.Join());
  if (before == nullptr || our_tree == nullptr || their_tree == nullptr) {
    return std::optional<GuestFacts>();
  }
  ASSIGN(GuestFacts facts, FindGuestFacts({*before, *our_tree, *their_tree}, mount_points, policy));
  return std::optional<GuestFacts>(std::move(facts));
}

}  // namespace mica::rebase
