// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "engine/image_chain.h"
#include "nbd/bitmap_source.h"

namespace mica {

// What has changed on a chain, as bitmaps a backup program can ask for:
//   parent      what the head holds: changed against its parent
//   parent:N    changed against the N-th parent, N >= 2
//   since:NAME  changed since the snapshot NAME of the head
// They are looked up when they are asked for, not kept: nothing is recorded on behalf of a bitmap.
// On the chain's loop; the chain outlives it.
class ChainBitmaps final : public nbd::BitmapSource {
 public:
  explicit ChainBitmaps(ImageChain& chain) : chain_(chain) {}

  // Learns which snapshots there are: before the first use, and when some come or go.
  Async<void> Refresh();

  [[nodiscard]] std::vector<std::string> Names() const override;
  Async<std::vector<nbd::DirtyExtent>> Describe(std::string_view name, ByteRange range,
                                                size_t extents_max) override;

 private:
  Async<std::vector<nbd::DirtyExtent>> AgainstParent(uint32_t depth, ByteRange range,
                                                     size_t extents_max);
  Async<std::vector<nbd::DirtyExtent>> SinceSnapshot(std::string_view name, ByteRange range,
                                                     size_t extents_max);

  ImageChain& chain_;
  std::vector<std::string> snapshots_;
};

}  // namespace mica
