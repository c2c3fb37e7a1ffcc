// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/serve_loops.h"

namespace mica {

Result<ServeLoops> ServeLoops::Start(Host& own, size_t threads, IoEngineKind kind,
                                     const ParentCacheOptions& parents) {
  ServeLoops loops(own);
  while (loops.size() < threads) {
    ASSIGN(std::unique_ptr<LoopThread> thread, LoopThread::Start(kind));
    loops.threads_.push_back(std::move(thread));
  }
  for (size_t i = 0; i < loops.size(); ++i) {
    loops.parents_.push_back(std::make_unique<ParentCache>(loops.host(i), parents));
  }
  return loops;
}

}  // namespace mica
