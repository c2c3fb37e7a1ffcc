// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/walk_tree.h"

#include <fmt/core.h>

#include <algorithm>

namespace mica::guest {
namespace {

// Paths of all directories are kept: a hostile volume must not make that explode.
constexpr size_t kPathBytesMax = 32768;

}  // namespace

Result<WalkTree> WalkTree::Read(Volume& volume) {
  WalkTree tree;
  tree.root_ = volume.root();
  ASSIGN(const Object root, volume.Stat(tree.root_));
  tree.links_[tree.root_] = {{tree.root_, ""}};
  tree.directories_[tree.root_] = {"", root.id.generation};
  std::vector<uint64_t> pending{tree.root_};
  while (!pending.empty()) {
    const uint64_t inode = pending.back();
    pending.pop_back();
    TRY(tree.Visit(volume, inode, pending));
  }
  return tree;
}

Result<void> WalkTree::Visit(Volume& volume, uint64_t inode, std::vector<uint64_t>& pending) {
  const std::string path = directories_.at(inode).path;
  ASSIGN(std::vector<DirectoryEntry> entries, volume.List(inode));
  for (DirectoryEntry& entry : entries) {
    links_[entry.inode].push_back({inode, entry.name});
    if (entry.kind != ObjectKind::kDirectory) continue;
    ASSIGN(const Object object, volume.Stat(entry.inode));
    std::string child = fmt::format("{}/{}", path, entry.name);
    if (child.size() > kPathBytesMax) return Error{Errc::kLimit, "a path is too long"};
    if (!directories_.emplace(entry.inode, Directory{child, object.id.generation}).second) {
      return Error{Errc::kCorrupt, fmt::format("directory '{}' has a second name", child)};
    }
    pending.push_back(entry.inode);
  }
  return {};
}

std::vector<uint64_t> WalkTree::Inodes() const {
  std::vector<uint64_t> inodes;
  inodes.reserve(links_.size());
  for (const auto& [inode, links] : links_) inodes.push_back(inode);
  std::ranges::sort(inodes);
  return inodes;
}

std::vector<Name> WalkTree::NamesOf(uint64_t inode) const {
  std::vector<Name> names;
  const auto links = links_.find(inode);
  if (links == links_.end()) return names;
  for (const Link& link : links->second) {
    const Directory& parent = directories_.at(link.parent);
    names.push_back(
        {link.parent, link.leaf, fmt::format("{}/{}", parent.path, link.leaf), parent.generation});
  }
  std::ranges::sort(names, {}, &Name::path);
  return names;
}

std::vector<TargetName> WalkTree::AllNamesOf(uint64_t inode) const {
  std::vector<TargetName> names;
  const auto links = links_.find(inode);
  if (inode == root_ || links == links_.end()) return names;
  for (const Link& link : links->second) names.push_back({link.parent, link.leaf});
  return names;
}

std::unordered_map<std::string, uint64_t> WalkTree::ByPath() const {
  std::unordered_map<std::string, uint64_t> inodes;
  inodes.reserve(links_.size());
  for (const auto& [inode, links] : links_) {
    for (const Name& name : NamesOf(inode)) inodes.emplace(name.path, inode);
  }
  return inodes;
}

}  // namespace mica::guest
