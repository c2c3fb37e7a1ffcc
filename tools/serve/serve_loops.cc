// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/serve_loops.h"

namespace mica {

Result<ServeLoops> ServeLoops::Start(Host& own, size_t threads, IoEngineKind kind) {
  ServeLoops loops(own);
  while (loops.size() < threads) {
    ASSIGN(std::unique_ptr<LoopThread> thread, LoopThread::Start(kind));
    loops.threads_.push_back(std::move(thread));
  }
  return loops;
}

}  // namespace mica
