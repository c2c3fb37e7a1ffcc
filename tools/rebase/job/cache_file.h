// SPDX-License-Identifier: Apache-2.0
// Files beside a sealed master that keep what was worked out about it, for all its VMs. Caches: one
// that is missing or damaged is made again.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "engine/base/bytes.h"

namespace mica::rebase {

// Empty when the file is not there, cannot be read, or is too large to be one of ours.
std::optional<std::vector<char>> ReadCacheFile(const std::filesystem::path& file);

// Complete or not at all: another process may be reading it. Durability does not matter, nor does
// it that the file cannot be kept.
void KeepCacheFile(const std::filesystem::path& file, ConstBytes bytes);

}  // namespace mica::rebase
