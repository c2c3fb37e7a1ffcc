// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/serve_loops.h"

namespace mica {

Result<ServeLoops> ServeLoops::Start(Host& own, const Options& options) {
  ServeLoops loops(own);
  own.loop().SetBusyPoll(options.busy_poll);
  while (loops.size() < options.threads) {
    ASSIGN(std::unique_ptr<LoopThread> thread, LoopThread::Start(options.io));
    EventLoop& loop = thread->loop();
    loop.PostFromAnyThread([&loop, most = options.busy_poll] { loop.SetBusyPoll(most); });
    loops.threads_.push_back(std::move(thread));
  }
  for (size_t i = 0; i < loops.size(); ++i) {
    loops.parents_.push_back(std::make_unique<ParentCache>(loops.host(i), options.parents));
  }
  return loops;
}

}  // namespace mica
