// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thread>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica {

// The client at stdin and stdout, for inetd, ssh and fuzzers, as a socket. A socket there is used
// as it is; pipes and files get two threads that copy, because nobody can wait for a file and a
// pipe cannot be shut down. stdout is the client's alone from now on.
class StdioConnection {
 public:
  static Result<StdioConnection> Open();
  StdioConnection(StdioConnection&&) noexcept = default;
  StdioConnection& operator=(StdioConnection&&) = delete;
  // Waits until what the server has sent is written. The server has closed its end by then.
  ~StdioConnection();

  [[nodiscard]] UniqueFd TakeSocket() noexcept { return std::move(socket_); }

 private:
  StdioConnection() = default;

  UniqueFd socket_;
  std::thread to_stdout_;
};

}  // namespace mica
