// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/async/task.h"
#include "engine/base/range.h"

namespace mica::nbd {

struct DirtyExtent {
  uint64_t length = 0;
  bool dirty = false;
  friend bool operator==(const DirtyExtent&, const DirtyExtent&) = default;
};

// Named sets of changed blocks of one disk: what an export offers as qemu:dirty-bitmap:NAME. Lives
// on the disk's loop and as long as its export.
class BitmapSource {
 public:
  BitmapSource() = default;
  BitmapSource(const BitmapSource&) = delete;
  BitmapSource& operator=(const BitmapSource&) = delete;
  virtual ~BitmapSource() = default;

  // The bitmaps there are now: UTF-8 without NUL.
  [[nodiscard]] virtual std::vector<std::string> Names() const = 0;

  // Covers `range` (inside the disk, not empty) from its start, in order; at most `extents_max`
  // extents, at least one, none beyond the range. kNotFound when the bitmap is gone. `name` stays
  // alive until completion.
  virtual Async<std::vector<DirtyExtent>> Describe(std::string_view name, ByteRange range,
                                                   size_t extents_max) = 0;
};

}  // namespace mica::nbd
