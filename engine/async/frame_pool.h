// SPDX-License-Identifier: Apache-2.0
// Memory for coroutine frames. A 4 KiB read over NBD makes about ten frames; per-thread free lists
// make each cost a few instructions instead of a trip through malloc.
#pragma once

#include <cstddef>

namespace mica::internal {

// Both are thread-local in effect: a frame may be freed on another thread than the one that
// allocated it, it then joins that thread's list.
void* AllocateFrame(size_t size);
void FreeFrame(void* frame, size_t size) noexcept;

}  // namespace mica::internal
