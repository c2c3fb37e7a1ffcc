// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/jobs/chain_job.h"

namespace mica {

// Drops from the head of `chain` every block that `parent`, which is what the head stands on, has
// as well. Equal digests nominate a block, equal bytes decide. `parent` is sealed, or nobody else
// can write to it and it has been flushed. Not durable before the next Flush or Close.
Async<ChainJobTotals> DropSameAsParent(ImageChain& chain, ImageChain& parent,
                                       ChainJobOptions options);

}  // namespace mica
