// SPDX-License-Identifier: Apache-2.0
// The digests of a chain's blocks, from its layers' maps where they keep them and from the content
// where they do not.
#pragma once

#include <vector>

#include "engine/digest.h"
#include "engine/image_chain.h"

namespace mica {

class WindowDigests {
 public:
  // For the blocks of `window`, which starts on a block boundary and may go past the chain's end.
  // Every block counts as zero until it is loaded. The chain is borrowed.
  WindowDigests(ImageChain& chain, ByteRange window);

  // Loads the blocks of `range`, which consists of whole blocks inside the window (the last one may
  // be cut at the end of the window). What is past the chain's end is zero.
  Async<void> Load(ByteRange range);

  [[nodiscard]] size_t size() const noexcept { return digests_.size(); }
  // Of the block at window.offset + index * kDigestBlockBytes. A block that is cut short by the
  // chain's end counts as if zeroes followed.
  [[nodiscard]] BlockDigest operator[](size_t index) const noexcept { return digests_[index]; }

 private:
  Async<void> LoadBelow(ByteRange range);
  Async<void> LoadOwned(Layer& layer, ByteRange range);
  Async<void> Take(const LayerInfo& layer, const Mapping& mapping, const Extent& extent,
                   ByteRange part);
  Async<void> ReadAndDigest(ByteRange range);

  ImageChain& chain_;
  const ByteRange window_;
  std::vector<BlockDigest> digests_;
};

}  // namespace mica
