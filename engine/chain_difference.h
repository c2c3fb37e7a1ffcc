// SPDX-License-Identifier: Apache-2.0
// Where two versions of a disk can differ, found from maps and digests instead of from content.
#pragma once

#include <span>
#include <vector>

#include "engine/image_chain.h"

namespace mica {

// Sorted, merged ranges of the guest that the layers above `depth` say something about. Everywhere
// else the chain's content is that of the layers from `depth` down.
Async<std::vector<ByteRange>> RangesAbove(ImageChain& chain, size_t depth);

// Sorted, merged ranges of whole digest blocks (the last one cut at the end) outside of which `a`
// and `b` have equal content. Blocks are judged by their 64-bit digests; content is read only where
// a layer keeps none. Where one disk is longer, the rest of it is in the result.
Async<std::vector<ByteRange>> DifferingRanges(ImageChain& a, ImageChain& b);
// The same of the blocks that `window` touches.
Async<std::vector<ByteRange>> DifferingRanges(ImageChain& a, ImageChain& b, ByteRange window);

// The parts of `ranges` that lie in `window`, relative to its start.
std::vector<ByteRange> RangesWithin(const std::vector<ByteRange>& ranges, ByteRange window);
// The same for several windows that count as one after the other; in the order of the windows.
std::vector<ByteRange> RangesWithin(const std::vector<ByteRange>& ranges,
                                    std::span<const ByteRange> windows);

}  // namespace mica
