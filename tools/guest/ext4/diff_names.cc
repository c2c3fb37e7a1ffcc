// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff_names.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

#include "tools/guest/ext4/diff_lineage.h"
#include "tools/guest/ext4/file_map.h"
#include "tools/guest/ext4/index_dirents.h"

namespace mica::guest {
namespace {

// A loop of directories is deeper than any tree; and paths of all directories are kept.
constexpr size_t kDepthMax = 8192;
constexpr size_t kPathBytesMax = 32768;

}  // namespace

Result<void> NameTable::Compare(const Candidates& candidates) {
  for (const uint32_t inode : candidates.inodes) TRY(CompareDirectory(inode));
  for (const uint32_t inode : candidates.directories) TRY(CompareDirectory(inode));
  return {};
}

Result<void> NameTable::CompareDirectory(uint32_t number) {
  if (IsInternalInode(*sides_.after.fs()->super, number)) return {};
  ASSIGN(const RawInode before, ReadVersion(sides_.before, number));
  ASSIGN(const RawInode after, ReadVersion(sides_.after, number));
  const bool was = IsDirectory(before);
  const bool is = IsDirectory(after);
  const bool is_inline = before.Has(EXT4_INLINE_DATA_FL) || after.Has(EXT4_INLINE_DATA_FL);
  if (was && is && SameLineage(before, after) && !is_inline) return CompareBlocks(before, after);
  std::vector<Dirent> old_entries;
  std::vector<Dirent> new_entries;
  if (was) {
    ASSIGN(old_entries, ReadEntries(sides_.before, before));
  }
  if (is) {
    ASSIGN(new_entries, ReadEntries(sides_.after, after));
  }
  if (was && is && !SameLineage(before, after)) {
    Record(number, std::move(old_entries), {});
    Record(number, {}, std::move(new_entries));
  } else {
    Record(number, std::move(old_entries), std::move(new_entries));
  }
  return {};
}

Result<void> NameTable::CompareBlocks(const RawInode& before, const RawInode& after) {
  ASSIGN(const FileMap old_map, MapInode(sides_.before.fs(), sides_.before.io(), before));
  ASSIGN(const FileMap new_map, MapInode(sides_.after.fs(), sides_.after.io(), after));
  std::vector<Dirent> old_entries;
  std::vector<Dirent> new_entries;
  // A split of a hash tree moves entries between changed blocks: it cancels out.
  for (const ChangedPiece& piece : ChangedPieces(old_map, new_map, sides_.touched)) {
    if (piece.before) {
      TRY(AppendEntries(sides_.before, before, {*piece.before, piece.count}, old_entries));
    }
    if (piece.after) {
      TRY(AppendEntries(sides_.after, after, {*piece.after, piece.count}, new_entries));
    }
  }
  Record(after.number, std::move(old_entries), std::move(new_entries));
  return {};
}

void NameTable::Record(uint32_t parent, std::vector<Dirent> before, std::vector<Dirent> after) {
  std::ranges::sort(before);
  std::ranges::sort(after);
  std::vector<Dirent> removed;
  std::vector<Dirent> added;
  std::ranges::set_difference(before, after, std::back_inserter(removed));
  std::ranges::set_difference(after, before, std::back_inserter(added));
  for (Dirent& entry : removed) {
    changes_[entry.inode].removed.push_back({parent, std::move(entry.leaf)});
  }
  for (Dirent& entry : added) {
    changes_[entry.inode].added.push_back({parent, std::move(entry.leaf)});
  }
}

std::set<uint32_t> NameTable::Renamed() const {
  std::set<uint32_t> inodes;
  for (const auto& [inode, change] : changes_) inodes.insert(inode);
  return inodes;
}

Result<std::vector<NameTable::Link>> NameTable::LinksOf(uint32_t inode, Version version) const {
  std::vector<Link> links;
  for (const IndexName& name : sides_.index.NamesOf(inode)) {
    links.push_back({name.parent, std::string(name.leaf)});
  }
  const auto change = changes_.find(inode);
  if (version == Version::kBefore || change == changes_.end()) return links;
  // A hostile directory can give one inode any number of names: no search for each.
  std::vector<Link> removed = change->second.removed;
  std::ranges::sort(removed);
  std::ranges::sort(links);
  if (!std::ranges::includes(links, removed)) {
    return Error{Errc::kMismatch,
                 fmt::format("the index does not know a name that inode {} has lost", inode)};
  }
  std::vector<Link> kept;
  std::ranges::set_difference(links, removed, std::back_inserter(kept));
  links = std::move(kept);
  const auto& added = change->second.added;
  links.insert(links.end(), added.begin(), added.end());
  return links;
}

// Climbs until the root or a directory that is known already, then comes down with the path.
Result<const NameTable::Directory*> NameTable::DirectoryOf(uint32_t inode, Version version) {
  auto& known = directories_[static_cast<size_t>(version)];
  std::vector<std::pair<uint32_t, Link>> climbed;
  uint32_t at = inode;
  while (!known.contains(at)) {
    if (climbed.size() > kDepthMax) return Error{Errc::kCorrupt, "ext4 directories form a loop"};
    ASSIGN(const std::vector<Link> links, LinksOf(at, version));
    if (links.size() > 1) {
      return Error{Errc::kCorrupt,
                   fmt::format("directory inode {} has {} names", at, links.size())};
    }
    const Link link = links.empty() ? Link{} : links.front();
    climbed.emplace_back(at, link);
    if (links.empty()) break;
    at = link.parent;
  }
  for (const auto& [child, link] : std::ranges::reverse_view(climbed)) {
    ASSIGN(const RawInode raw, ReadVersion(Side(version), child));
    Directory entry{raw.large().i_generation, std::nullopt};
    if (child == EXT2_ROOT_INO) {
      entry.path = "";
    } else if (link.parent != 0 && IsDirectory(raw) && known.at(link.parent).path) {
      entry.path = fmt::format("{}/{}", *known.at(link.parent).path, link.leaf);
      if (entry.path->size() > kPathBytesMax) return Error{Errc::kLimit, "a path is too long"};
    }
    known.emplace(child, std::move(entry));
  }
  return &known.at(inode);
}

Result<std::vector<Name>> NameTable::NamesOf(uint32_t inode, Version version) {
  std::vector<Name> names;
  if (inode == EXT2_ROOT_INO) {
    ASSIGN(const Directory* root, DirectoryOf(inode, version));
    names.push_back({inode, "", "/", root->generation});
    return names;
  }
  ASSIGN(const std::vector<Link> links, LinksOf(inode, version));
  for (const Link& link : links) {
    ASSIGN(const Directory* parent, DirectoryOf(link.parent, version));
    if (!parent->path) continue;
    names.push_back({link.parent, link.leaf, fmt::format("{}/{}", *parent->path, link.leaf),
                     parent->generation});
  }
  return names;
}

}  // namespace mica::guest
