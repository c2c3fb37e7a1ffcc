// SPDX-License-Identifier: Apache-2.0
// Moving the bytes of one extent that a layer has mapped, and verifying them.
#pragma once

#include "engine/async/event_loop.h"
#include "engine/layer.h"

namespace mica {

// Fills `out`, which is as long as `extent`, with what the layer holds for it: zeroes, data,
// compressed data, every block against its digest (kCorrupt names guest and file offset). `extent`
// is one of `mapping` and is not kUnallocated. The mapping outlives the call.
Async<void> ReadStored(EventLoop& loop, Layer& layer, const Mapping& mapping, const Extent& extent,
                       Bytes out);

}  // namespace mica
