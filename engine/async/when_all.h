// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "engine/async/async_mutex.h"
#include "engine/async/event_loop.h"

namespace mica {

// Runs all tasks concurrently on `loop` and completes when the last one has; the error is the one
// of the first task in the list that failed. Every task runs to its end even when another has
// failed.
Async<void> WhenAll(EventLoop& loop, std::vector<Async<void>> tasks);

}  // namespace mica
