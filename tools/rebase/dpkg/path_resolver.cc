// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/path_resolver.h"

namespace mica::rebase {
namespace {

constexpr int kLinksMax = 16;

// Takes away "." and "..", and doubled slashes; "" is the root.
std::string Normalize(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part == "..") {
      out.resize(out.empty() ? 0 : out.rfind('/'));
    } else if (!part.empty() && part != ".") {
      out += "/" + std::string(part);
    }
  }
  return out;
}

}  // namespace

Result<std::string> PathResolver::Resolve(std::string_view path) {
  const std::string clean = Normalize(path);
  if (clean.empty()) return std::string("/");
  const size_t slash = clean.rfind('/');
  ASSIGN(const Place directory, Directory(clean.substr(0, slash), kLinksMax));
  return directory.path + clean.substr(slash);
}

Result<PathResolver::Place> PathResolver::Directory(const std::string& path, int links_left) {
  if (path.empty()) return Place{"", volume_.root()};
  if (const auto known = directories_.find(path); known != directories_.end()) {
    return known->second;
  }
  const size_t slash = path.rfind('/');
  ASSIGN(const Place parent, Directory(path.substr(0, slash), links_left));
  Place place = {parent.path + path.substr(slash), std::nullopt};
  if (parent.inode) {
    ASSIGN(place.inode, volume_.LookupIn(*parent.inode, path.substr(slash + 1)));
  }
  if (place.inode) {
    ASSIGN(const guest::Object object, volume_.Stat(*place.inode));
    if (object.kind == guest::ObjectKind::kSymlink && links_left > 0) {
      const bool absolute = object.symlink_target.starts_with('/');
      const std::string target =
          Normalize(absolute ? object.symlink_target : parent.path + "/" + object.symlink_target);
      ASSIGN(place, Directory(target, links_left - 1));
    } else if (object.kind != guest::ObjectKind::kDirectory) {
      place.inode.reset();
    }
  }
  directories_.emplace(path, place);
  return place;
}

}  // namespace mica::rebase
