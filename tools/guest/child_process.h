// SPDX-License-Identifier: Apache-2.0
// Runs another program and collects what it says: no shell, a fixed environment, bounded output, a
// deadline.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace mica::guest {

struct ChildRequest {
  // A bare program name, looked up in /usr/sbin, /usr/bin, /sbin and /bin, and its arguments.
  std::vector<std::string> arguments;
  // A descriptor of ours that the child sees as kChildFd; -1: none.
  int inherited_fd = -1;
  std::chrono::seconds timeout{600};
  size_t output_bytes_max = size_t{1} << 20;  // the rest is read and dropped

  static constexpr int kChildFd = 3;
};

struct ChildResult {
  int exit_status = 0;  // 128 + the signal when one ended it, as shells say it
  std::string output;   // stdout and stderr as they came
  bool output_cut = false;
};

// Blocks until the program has ended. kNotFound when it is not installed, kLimit at the deadline
// (it is killed then).
Result<ChildResult> RunChild(const ChildRequest& request);

}  // namespace mica::guest
