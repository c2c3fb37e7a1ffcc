// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/volume.h"

#include <fmt/format.h>

namespace mica::guest {

Result<std::optional<uint64_t>> LookupPath(Volume& volume, std::string_view path) {
  if (path.empty() || path.front() != '/') {
    return Error{Errc::kInvalidArgument, fmt::format("{}: not an absolute path", path)};
  }
  std::optional<uint64_t> at = volume.root();
  while (true) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    if (path.empty()) return at;
    const std::string_view leaf = path.substr(0, path.find('/'));
    path.remove_prefix(leaf.size());
    ASSIGN(const Object object, volume.Stat(*at));
    if (object.kind != ObjectKind::kDirectory) return std::optional<uint64_t>();
    ASSIGN(at, volume.LookupIn(*at, leaf));
    if (!at) return at;
  }
}

Result<std::string> ReadWhole(Volume& volume, uint64_t inode, uint64_t size_max) {
  ASSIGN(const Object object, volume.Stat(inode));
  if (object.size > size_max) {
    return Error{Errc::kLimit, fmt::format("inode {} holds {} bytes, more than {}", inode,
                                           object.size, size_max)};
  }
  std::string content(object.size, '\0');
  const Bytes buffer = std::as_writable_bytes(std::span(content));
  ASSIGN(const size_t size, volume.Read(inode, 0, buffer));
  content.resize(size);
  return content;
}

}  // namespace mica::guest
