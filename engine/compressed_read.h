// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/async/event_loop.h"
#include "engine/layer.h"

namespace mica {

// Fills `out` with the guest bytes of a kCompressed extent of `mapping`, by way of the process's
// ChunkCache: the frame is verified before it is decompressed, and each digest block of `out`
// against the mapping's digests. Any mapping: kCorrupt, with guest and file offset, when it does
// not hold together.
Async<void> ReadCompressed(EventLoop& loop, Layer& layer, const Mapping& mapping,
                           const Extent& extent, Bytes out);

}  // namespace mica
