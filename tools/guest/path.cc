// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/path.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace mica::guest {

namespace {

// The components of `path` in reverse, so that the next one is at the end.
std::vector<std::string> ReversedComponents(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0 && path.substr(0, slash) != ".") parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  std::ranges::reverse(parts);
  return parts;
}

}  // namespace

Result<uint64_t> ResolvePath(Volume& volume, std::string_view path, FinalSymlink final_symlink) {
  std::vector<uint64_t> trail = {volume.root()};  // from the root to where we are
  std::vector<std::string> ahead = ReversedComponents(path);
  int symlinks = 0;
  while (!ahead.empty()) {
    const std::string part = std::move(ahead.back());
    ahead.pop_back();
    if (part == "..") {
      if (trail.size() > 1) trail.pop_back();
      continue;
    }
    ASSIGN(const Object here, volume.Stat(trail.back()));
    std::optional<uint64_t> next;
    if (here.kind == ObjectKind::kDirectory) {
      ASSIGN(next, volume.LookupIn(trail.back(), part));
    }
    if (!next) {
      return Error{Errc::kNotFound, fmt::format("{}: there is no '{}' in the image", path, part)};
    }
    ASSIGN(const Object object, volume.Stat(*next));
    const bool follow = !ahead.empty() || final_symlink == FinalSymlink::kFollow;
    if (object.kind != ObjectKind::kSymlink || !follow) {
      trail.push_back(*next);
      continue;
    }
    if (++symlinks > kSymlinksMax) {
      return Error{Errc::kLimit, fmt::format("{}: more than {} symlinks", path, kSymlinksMax)};
    }
    if (object.symlink_target.starts_with('/')) trail.resize(1);
    std::vector<std::string> target = ReversedComponents(object.symlink_target);
    ahead.insert(ahead.end(), std::make_move_iterator(target.begin()),
                 std::make_move_iterator(target.end()));
  }
  return trail.back();
}

std::string MountedPath(std::string_view mount_point, std::string_view path) {
  std::string mounted(mount_point);
  if (mounted.empty() || path != "/") mounted += path;
  return mounted;
}

}  // namespace mica::guest
