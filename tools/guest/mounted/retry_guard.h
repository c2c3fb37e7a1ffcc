// SPDX-License-Identifier: Apache-2.0
// XFS writes its metadata again and again, for ever, when a device fails: a mount whose device's
// server has died would never end, not even by SIGKILL. It is told to give up, which it can be only
// while it mounts and later.
#pragma once

#include <string>
#include <thread>

#include "engine/base/unique_fd.h"

namespace mica::guest {

// Does nothing for a device on which there is no XFS (yet).
void StopRetries(const std::string& device);

// Stands beside one mount: when the other end of `server`, a socket, is closed meanwhile, it stops
// the retries.
class RetryGuard {
 public:
  RetryGuard(int server, std::string device);
  RetryGuard(const RetryGuard&) = delete;
  RetryGuard& operator=(const RetryGuard&) = delete;
  ~RetryGuard();

 private:
  void Watch() const;

  int server_;
  std::string device_;
  UniqueFd done_;
  std::thread thread_;
};

}  // namespace mica::guest
