// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "engine/io/loop_thread.h"
#include "formats/parent_cache.h"

namespace mica {

// The event loops of a server: the program's own and as many threads as are wanted besides. What
// lives on them must be gone before they are.
class ServeLoops {
 public:
  struct Options {
    size_t threads = 1;                     // loops in all, the program's own included
    IoEngineKind io = IoEngineKind::kAuto;  // of the other threads
    EventLoop::Time busy_poll{};            // EventLoop::SetBusyPoll of all
    ParentCacheOptions parents;             // of each loop; the note is called on any of them
  };
  static Result<ServeLoops> Start(Host& own, const Options& options);

  // Number 0 is the program's own.
  [[nodiscard]] size_t size() const noexcept { return threads_.size() + 1; }
  [[nodiscard]] EventLoop& loop(size_t number) noexcept { return host(number).loop(); }
  // To be used on its loop.
  [[nodiscard]] Host& host(size_t number) noexcept {
    return number == 0 ? *own_ : threads_[number - 1]->host();
  }
  // What the images of a loop share; to be used on it.
  [[nodiscard]] ParentCache& parents(size_t number) noexcept { return *parents_[number]; }

 private:
  explicit ServeLoops(Host& own) : own_(&own) {}

  Host* own_;
  std::vector<std::unique_ptr<LoopThread>> threads_;
  std::vector<std::unique_ptr<ParentCache>> parents_;  // one a loop
};

}  // namespace mica
