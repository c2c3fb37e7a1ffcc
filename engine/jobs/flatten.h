// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/jobs/chain_job.h"

namespace mica {

// Copies into the head what its parents show through, then detaches it from them, in one step.
// Interrupted before that, the head is still a valid child that holds more than before, and the job
// can be run again. Close `chain` afterwards.
Async<ChainJobTotals> Flatten(EventLoop& loop, ImageChain& chain, ChainJobOptions options);

}  // namespace mica
