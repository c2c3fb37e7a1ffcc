// SPDX-License-Identifier: Apache-2.0
// Where the paths of package lists really are: /bin/ls of a list is /usr/bin/ls where /bin is a
// symbolic link. Only directories are resolved; a link at the end of a path is itself a file of the
// package.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/base/result.h"
#include "tools/guest/volume.h"

namespace mica::rebase {

class PathResolver {
 public:
  explicit PathResolver(guest::Volume& volume) : volume_(volume) {}

  // The path with its directories resolved; directories that are missing are taken as they are.
  Result<std::string> Resolve(std::string_view path);

 private:
  struct Place {
    std::string path;               // resolved; "" is the root
    std::optional<uint64_t> inode;  // empty when it is not there
  };

  Result<Place> Directory(const std::string& path, int links_left);

  guest::Volume& volume_;
  std::unordered_map<std::string, Place> directories_;  // by path as it is written
};

}  // namespace mica::rebase
