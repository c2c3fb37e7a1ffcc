// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "nbd/bitmap_source.h"

namespace mica::nbd {

// Bitmaps in memory: per name the dirty ranges, in order and apart.
class MemoryBitmaps final : public BitmapSource {
 public:
  std::map<std::string, std::vector<ByteRange>, std::less<>> dirty;

  [[nodiscard]] std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, ranges] : dirty) names.push_back(name);
    return names;
  }

  Async<std::vector<DirtyExtent>> Describe(std::string_view name, ByteRange range,
                                           size_t extents_max) override {
    const auto found = dirty.find(name);
    if (found == dirty.end()) co_return Error{Errc::kNotFound, "the bitmap is gone"};
    std::vector<DirtyExtent> extents;
    uint64_t at = range.offset;
    for (const ByteRange& changed : found->second) {
      const ByteRange part = Intersect(changed, range);
      if (part.empty()) continue;
      if (part.offset > at) extents.push_back({.length = part.offset - at, .dirty = false});
      extents.push_back({.length = part.length, .dirty = true});
      at = part.end();
    }
    if (at < range.end()) extents.push_back({.length = range.end() - at, .dirty = false});
    extents.resize(std::min(extents.size(), extents_max));
    co_return extents;
  }
};

}  // namespace mica::nbd
