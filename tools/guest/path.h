// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "tools/guest/volume.h"

namespace mica::guest {

enum class FinalSymlink : uint8_t { kFollow, kKeep };

// As many as Linux follows in one path.
inline constexpr int kSymlinksMax = 40;

// The object at `path` inside the volume, symlinks followed as a process in the guest would follow
// them: absolute targets start at the volume's root, ".." never leaves it. kNotFound names the
// first component that is missing; kLimit when symlinks lead nowhere.
Result<uint64_t> ResolvePath(Volume& volume, std::string_view path, FinalSymlink final_symlink);

// The guest's path of a volume's: "/home" and "/ann" are "/home/ann". Without a mount point it is
// the volume's.
std::string MountedPath(std::string_view mount_point, std::string_view path);

}  // namespace mica::guest
