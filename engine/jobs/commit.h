// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/jobs/chain_job.h"

namespace mica {

struct CommitImages {
  ImageChain& delta;         // the delta's layer alone, without its parents
  ImageChain& parent;        // writable, at least as large, with what it stands on itself
  ImageChain* below_parent;  // what the parent stands on; null when it stands on nothing
};

// Writes what the delta holds into its parent, makes that durable, and then empties the delta: its
// entries become "same as parent" and keep the time of their last change. Interrupted anywhere, the
// delta over the parent reads as before, and the job can be run again; the parent alone is a
// mixture until it has ended. Blocks of the parent that what it stands on has as well are dropped.
Async<ChainJobTotals> Commit(EventLoop& loop, CommitImages images, ChainJobOptions options);

}  // namespace mica
