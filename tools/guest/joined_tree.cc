// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/joined_tree.h"

#include <algorithm>
#include <memory>

namespace mica::guest {

namespace {

// A number of the tree has the volume above the volume's own number, which has 32 bits in the file
// systems there are.
constexpr unsigned kVolumeShift = 48;
constexpr uint64_t kInodeMax = (uint64_t{1} << kVolumeShift) - 1;
constexpr size_t kVolumesMax = 1024;

uint64_t NumberOf(size_t volume, uint64_t inode) {
  return (static_cast<uint64_t>(volume) << kVolumeShift) | (inode & kInodeMax);
}

size_t VolumeOf(uint64_t number) {
  return number >> kVolumeShift;
}

}  // namespace

Result<std::unique_ptr<JoinedTree>> JoinedTree::Join(std::vector<Mount> mounts) {
  // A mount point is looked up in what is mounted above it.
  std::ranges::stable_sort(mounts, {}, [](const Mount& mount) { return mount.path.size(); });
  if (mounts.empty() || !mounts.front().path.empty() || mounts.size() > kVolumesMax) {
    return Error{Errc::kInvalidArgument, "a guest has one root directory and a few volumes"};
  }
  std::unique_ptr<JoinedTree> tree(new JoinedTree);
  tree->volumes_.push_back(mounts.front().volume);
  mounts.erase(mounts.begin());
  for (const Mount& mount : mounts) TRY(tree->Add(mount));
  return tree;
}

Result<void> JoinedTree::Add(const Mount& mount) {
  const size_t slash = mount.path.rfind('/');
  if (slash == std::string::npos || slash + 1 == mount.path.size()) return {};
  ASSIGN(const auto directory, LookupPath(*this, mount.path.substr(0, std::max<size_t>(slash, 1))));
  if (!directory) return {};
  const std::string leaf = mount.path.substr(slash + 1);
  ASSIGN(const auto point, LookupIn(*directory, leaf));
  if (!point) return {};
  mounted_[{*directory, leaf}] = NumberOf(volumes_.size(), mount.volume->root());
  volumes_.push_back(mount.volume);
  return {};
}

Result<JoinedTree::Place> JoinedTree::Find(uint64_t inode) const {
  if (VolumeOf(inode) >= volumes_.size()) {
    return Error{Errc::kInvalidArgument, "there is no such volume"};
  }
  return Place{volumes_[VolumeOf(inode)], inode & kInodeMax};
}

std::optional<uint64_t> JoinedTree::MountedOn(uint64_t directory, std::string_view leaf) const {
  const auto found = mounted_.find({directory, std::string(leaf)});
  if (found == mounted_.end()) return std::nullopt;
  return found->second;
}

uint64_t JoinedTree::root() const noexcept {
  return NumberOf(0, volumes_.front()->root());
}

Result<Object> JoinedTree::Stat(uint64_t inode) {
  ASSIGN(const Place place, Find(inode));
  ASSIGN(Object object, place.volume->Stat(place.inode));
  object.id.inode = inode;
  return object;
}

Result<std::optional<uint64_t>> JoinedTree::LookupIn(uint64_t directory, std::string_view leaf) {
  if (const auto mounted = MountedOn(directory, leaf)) return mounted;
  ASSIGN(const Place place, Find(directory));
  ASSIGN(std::optional<uint64_t> inode, place.volume->LookupIn(place.inode, leaf));
  if (inode) inode = NumberOf(VolumeOf(directory), *inode);
  return inode;
}

Result<std::vector<DirectoryEntry>> JoinedTree::List(uint64_t directory) {
  ASSIGN(const Place place, Find(directory));
  ASSIGN(std::vector<DirectoryEntry> entries, place.volume->List(place.inode));
  for (DirectoryEntry& entry : entries) {
    const auto mounted = MountedOn(directory, entry.name);
    entry.inode = mounted ? *mounted : NumberOf(VolumeOf(directory), entry.inode);
  }
  return entries;
}

Result<size_t> JoinedTree::Read(uint64_t inode, uint64_t offset, Bytes buffer) {
  ASSIGN(const Place place, Find(inode));
  return place.volume->Read(place.inode, offset, buffer);
}

Result<std::vector<ByteRange>> JoinedTree::StoredRanges(uint64_t inode) {
  ASSIGN(const Place place, Find(inode));
  return place.volume->StoredRanges(place.inode);
}

}  // namespace mica::guest
