// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/process_pool.h"

#include <poll.h>

#include <algorithm>

namespace mica {

namespace {

constexpr int kForever = -1;

}  // namespace

void ProcessPool::Add(size_t key, SelfProcess process, std::optional<Clock::time_point> deadline) {
  running_.push_back(Running{key, std::move(process), Clock::now(), deadline});
}

void ProcessPool::KillAll() {
  for (Running& running : running_) running.process.Kill();
}

void ProcessPool::Poll(int wake_fd) {
  std::vector<pollfd> waiting;
  if (wake_fd >= 0) waiting.push_back({wake_fd, POLLIN, 0});
  std::optional<Clock::time_point> first;
  for (const Running& running : running_) {
    for (const int fd : {running.process.output_fd(), running.process.error_fd()}) {
      if (fd >= 0) waiting.push_back({fd, POLLIN, 0});
    }
    if (running.deadline && (!first || *running.deadline < *first)) first = running.deadline;
  }
  int milliseconds = kForever;
  if (first) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*first - Clock::now()).count();
    milliseconds = static_cast<int>(std::clamp<int64_t>(left + 1, 0, 1'000'000));
  }
  ::poll(waiting.data(), waiting.size(), milliseconds);
}

std::vector<ProcessPool::Ended> ProcessPool::Wait(int wake_fd) {
  Poll(wake_fd);
  std::vector<Ended> ended;
  for (auto at = running_.begin(); at != running_.end();) {
    const bool late = at->deadline && Clock::now() >= *at->deadline;
    if (late && !at->timed_out) {
      at->timed_out = true;
      at->process.Kill();
    }
    if (at->process.Pump()) {
      ++at;
      continue;
    }
    ended.push_back(Finish(*at));
    at = running_.erase(at);
  }
  return ended;
}

ProcessPool::Ended ProcessPool::Finish(Running& running) {
  Ended ended;
  ended.key = running.key;
  ended.end = running.process.Reap();
  ended.end.timed_out = running.timed_out;
  ended.seconds = std::chrono::duration<double>(Clock::now() - running.started).count();
  ended.output = running.process.output();
  ended.errors = running.process.errors();
  return ended;
}

}  // namespace mica
