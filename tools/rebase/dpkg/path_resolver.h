// SPDX-License-Identifier: Apache-2.0
// Where the paths of package lists really are: /bin/ls of a list is /usr/bin/ls where /bin is a
// symbolic link. Only directories are resolved; a link at the end of a path is itself a file of the
// package.
#pragma once

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
  Result<std::string> Directory(const std::string& path, int links_left);

  guest::Volume& volume_;
  std::unordered_map<std::string, std::string> directories_;  // "" is the root
};

}  // namespace mica::rebase
