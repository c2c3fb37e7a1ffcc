// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/export_holds.h"

#include <fmt/format.h>
#include <sys/socket.h>

namespace mica {

ExportHolds::~ExportHolds() {
  MICA_CHECK(held_.empty());
}

// Also after SmallServer::Stop, which shuts the socket down.
bool ExportHolds::PeerIsGone() const {
  char byte = 0;
  return ::recv(peer_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

Async<void> ExportHolds::Hold(std::string name, std::chrono::seconds wait) {
  constexpr std::chrono::milliseconds kPause(20);
  const EventLoop::Time give_up = loop_.Now() + wait;
  for (;;) {
    Result<void> held = co_await keeper_.Hold(name);
    if (held) break;
    if (held.error().code != Errc::kBusy || loop_.Now() >= give_up) co_return held;
    co_await loop_.SleepUntil(loop_.Now() + kPause);
    if (PeerIsGone()) co_return Error{Errc::kCancelled, "the peer has gone"};
  }
  held_.insert(name);
  log_.Write(
      {.severity = nbd::Severity::kInfo, .message = "held: new clients wait", .export_name = name});
  co_return Result<void>();
}

Async<void> ExportHolds::Release(std::string name) {
  if (held_.erase(name) == 0) {
    co_return Error{Errc::kNotFound, fmt::format("export '{}' is not held here", name)};
  }
  Result<void> released = co_await keeper_.Release(name);
  log_.Write({.severity = released ? nbd::Severity::kInfo : nbd::Severity::kError,
              .message = released ? "exported again"
                                  : "cannot be exported again: " + released.error().message,
              .export_name = name});
  co_return released;
}

Task<void> ExportHolds::ReleaseAll() {
  while (!held_.empty()) {
    std::string name = *held_.begin();
    (void)co_await Release(std::move(name));
  }
}

}  // namespace mica
