// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "tools/cli/output.h"

namespace mica {

namespace {

// A signal handler has no other way to reach its program than a global.
std::atomic<bool> g_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void RememberSignal(int) {
  g_asked.store(true, std::memory_order_relaxed);
}

ProgressMeter::Time Now() {
  return std::chrono::steady_clock::now().time_since_epoch();
}

size_t TerminalColumns() {
  winsize size{};
  constexpr size_t kUsual = 80;
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return kUsual;
  return size.ws_col - size_t{1};  // the last column would wrap
}

}  // namespace

void InstallProgressSignal() {
  struct sigaction action{};
  action.sa_handler = RememberSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGUSR1, &action, nullptr);
}

Progress::Progress(ProgressMode mode, std::string label, ProgressTotals goal)
    : mode_(mode),
      terminal_(::isatty(STDERR_FILENO) == 1),
      shown_at_(Now()),
      meter_(std::move(label), goal, shown_at_) {}

Progress::~Progress() {
  if (bar_drawn_) std::fputc('\n', stderr);
}

void Progress::Update(ProgressTotals done) {
  const ProgressMeter::Time now = Now();
  const bool asked = g_asked.load(std::memory_order_relaxed);
  const ProgressMeter::Time interval =
      terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(1000);
  const bool due = mode_ == ProgressMode::kShown && now - shown_at_ >= interval;
  if (!asked && !due) return;
  g_asked.store(false, std::memory_order_relaxed);
  Show(now, done);
}

void Progress::Finish(ProgressTotals done) {
  if (mode_ == ProgressMode::kShown) Show(Now(), done);
}

void Progress::Show(ProgressMeter::Time now, ProgressTotals done) {
  meter_.Sample(now, done);
  shown_at_ = now;
  if (mode_ == ProgressMode::kShown && terminal_) {
    std::fprintf(stderr, "\r%s\033[K", meter_.Bar(TerminalColumns()).c_str());
    std::fflush(stderr);
    bar_drawn_ = true;
  } else {
    PrintError(meter_.Line());
  }
}

}  // namespace mica
