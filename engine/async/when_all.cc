// SPDX-License-Identifier: Apache-2.0
#include "engine/async/when_all.h"

#include <optional>

namespace mica {

namespace {

struct Pending {
  size_t count;
  WaitList done;
};

Task<void> RunOne(Async<void> task, std::optional<Error>& error, Pending& pending) {
  Result<void> result = co_await task;
  if (!result) error.emplace(std::move(result).error());
  if (--pending.count == 0) pending.done.NotifyAll();
}

}  // namespace

Async<void> WhenAll(EventLoop& loop, std::vector<Async<void>> tasks) {
  std::vector<std::optional<Error>> errors(tasks.size());
  Pending pending{tasks.size(), WaitList(loop)};
  for (size_t i = 0; i < tasks.size(); ++i) {
    loop.Spawn(RunOne(std::move(tasks[i]), errors[i], pending));
  }
  if (pending.count > 0) co_await pending.done.Wait();
  for (std::optional<Error>& error : errors) {
    if (error) co_return std::move(*error);
  }
  co_return Result<void>();
}

}  // namespace mica
