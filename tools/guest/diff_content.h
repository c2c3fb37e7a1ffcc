// SPDX-License-Identifier: Apache-2.0
// Byte comparison of two versions of one file.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/volume.h"

namespace mica::guest {

// Content ranges of a change set are made of these: all aligned to it, but for the end of the file.
inline constexpr uint64_t kContentGrainBytes = 4096;

// A regular file in one version.
struct FileVersion {
  Volume& volume;
  uint64_t inode = 0;
  uint64_t size = 0;  // bytes
};

// The grains of the new content, among those that `candidates` (any order, may overlap) touch,
// whose bytes differ from the old content, which reads zero beyond its end. Sorted and merged.
Result<std::vector<ByteRange>> DifferingContent(const FileVersion& before, const FileVersion& after,
                                                std::span<const ByteRange> candidates);

// Sorts, clips to [0, size), aligns outward to grains and merges.
std::vector<ByteRange> AlignToGrains(std::span<const ByteRange> ranges, uint64_t size);

}  // namespace mica::guest
