// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/jobs/chain_job.h"

namespace mica {

struct NewParent {
  ImageChain& chain;          // sealed
  ParentReference reference;  // as the head is to record it
};

// Puts the head of `chain` on another parent, of any size, and keeps what the guest sees: blocks in
// which the two parents differ and which the head does not hold are copied into it, the reference
// is switched in one step, and blocks that the new parent has as well are dropped. Parents are
// compared by the digests they keep, so only blocks that differ are read. Interrupted before the
// switch, the head is a valid child of the old parent, afterwards of the new one. Close `chain`
// afterwards.
Async<ChainJobTotals> Reparent(EventLoop& loop, ImageChain& chain, NewParent parent,
                               ChainJobOptions options);

}  // namespace mica
