// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/retry_guard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <filesystem>

namespace mica::guest {

namespace {

constexpr int kAgainMilliseconds = 20;  // the mount may not have come to its settings yet

}  // namespace

void StopRetries(const std::string& device) {
  const std::string name = std::filesystem::path(device).filename();
  for (const char* const failure : {"EIO", "ENOSPC", "default"}) {
    const std::string setting =
        fmt::format("/sys/fs/xfs/{}/error/metadata/{}/max_retries", name, failure);
    const UniqueFd file(::open(setting.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) continue;
    const ssize_t written = ::write(file.get(), "0", 1);
    static_cast<void>(written);  // then it retries as ever
  }
}

RetryGuard::RetryGuard(int server, std::string device)
    : server_(server), device_(std::move(device)), done_(::eventfd(0, EFD_CLOEXEC)) {
  if (done_) thread_ = std::thread([this] { Watch(); });
}

RetryGuard::~RetryGuard() {
  if (!thread_.joinable()) return;
  ::eventfd_write(done_.get(), 1);
  thread_.join();
}

void RetryGuard::Watch() const {
  pollfd waiting[2] = {{done_.get(), POLLIN, 0}, {server_, POLLRDHUP, 0}};
  while (::poll(waiting, 2, -1) <= 0 || (waiting[0].revents == 0 && waiting[1].revents == 0)) {
  }
  while (waiting[0].revents == 0) {
    StopRetries(device_);
    ::poll(waiting, 1, kAgainMilliseconds);
  }
}

}  // namespace mica::guest
