// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/stop_signal.h"

#include <sys/eventfd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>

namespace mica {

namespace {

constexpr std::array kStopSignals{SIGINT, SIGTERM, SIGHUP};

// The handler has no other way to find the descriptor. -1: nobody waits.
std::atomic<int> g_event{-1};
std::array<struct sigaction, kStopSignals.size()> g_before;

void RaiseEvent(int) {
  const int saved_errno = errno;
  const uint64_t one = 1;
  // A full counter means that the event is already there.
  static_cast<void>(::write(g_event.load(), &one, sizeof one) == sizeof one);
  errno = saved_errno;
}

}  // namespace

Result<StopSignal> StopSignal::Install() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return ErrnoError(errno, "eventfd");
  g_event.store(event.get());
  struct sigaction action{};
  action.sa_handler = RaiseEvent;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    ::sigaction(kStopSignals[i], nullptr, &g_before[i]);
    if (g_before[i].sa_handler != SIG_IGN) ::sigaction(kStopSignals[i], &action, nullptr);
  }
  return StopSignal(std::move(event));
}

StopSignal::~StopSignal() {
  if (!event_) return;  // moved from
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    ::sigaction(kStopSignals[i], &g_before[i], nullptr);
  }
  g_event.store(-1);
}

Async<void> StopSignal::Wait(EventLoop& loop) const {
  return loop.WaitReady(event_.get(), Readiness::kReadable);
}

}  // namespace mica
