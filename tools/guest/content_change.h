// SPDX-License-Identifier: Apache-2.0
// What became of the content of one file between two states of a volume.
#pragma once

#include <vector>

#include "engine/base/range.h"

namespace mica::guest {

struct ContentChange {
  bool resized = false;
  // Of the later content, in order, whole grains (diff_content.h): outside of them the two are
  // equal.
  std::vector<ByteRange> ranges;
  [[nodiscard]] bool none() const noexcept { return !resized && ranges.empty(); }
};

}  // namespace mica::guest
