// SPDX-License-Identifier: Apache-2.0
#include "engine/async/memory_loop.h"

namespace mica {

Async<void> MemoryLoop::WaitReady(int, Readiness) {
  co_return Error{Errc::kUnsupported, "a memory loop has no file descriptors"};
}

void MemoryLoop::Poll(bool may_wait, Time deadline) {
  if (!may_wait) return;
  MICA_CHECK(deadline != Time::max());  // deadlock: nothing can ever become ready
  if (deadline > now_) now_ = deadline;
}

}  // namespace mica
