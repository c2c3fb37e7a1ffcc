// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/stdio_connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

namespace mica {

namespace {

constexpr size_t kCopyBytes = 256u << 10;

bool WriteAll(int to, const char* data, size_t size) {
  while (size != 0) {
    const ssize_t count = ::write(to, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    data += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

// Until one side has had enough.
void Copy(int from, int to) {
  std::vector<char> buffer(kCopyBytes);
  for (;;) {
    const ssize_t count = ::read(from, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || !WriteAll(to, buffer.data(), static_cast<size_t>(count))) return;
  }
}

Result<UniqueFd> Duplicate(int descriptor) {
  UniqueFd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
  if (!copy) return ErrnoError(errno, "stdin or stdout");
  return copy;
}

bool IsSocket(int descriptor) {
  int type = 0;
  socklen_t length = sizeof type;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
}

}  // namespace

Result<StdioConnection> StdioConnection::Open() {
  StdioConnection connection;
  if (IsSocket(STDIN_FILENO)) {
    ASSIGN(connection.socket_, Duplicate(STDIN_FILENO));
    return connection;
  }
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return ErrnoError(errno, "socketpair");
  }
  connection.socket_ = UniqueFd(ends[0]);
  UniqueFd outside(ends[1]);
  ASSIGN(UniqueFd input, Duplicate(STDIN_FILENO));
  ASSIGN(UniqueFd output, Duplicate(STDOUT_FILENO));
  ASSIGN(UniqueFd also_outside, Duplicate(outside.get()));
  // Nobody waits for this one: it may be in a read that ends only with the process.
  std::thread([from = std::move(input), to = std::move(also_outside)] {
    Copy(from.get(), to.get());
    ::shutdown(to.get(), SHUT_WR);
  }).detach();
  connection.to_stdout_ = std::thread([from = std::move(outside), to = std::move(output)] {
    Copy(from.get(), to.get());
    ::shutdown(from.get(), SHUT_RDWR);  // nobody reads stdout: the server need not send more
  });
  return connection;
}

StdioConnection::~StdioConnection() {
  socket_.Close();
  if (to_stdout_.joinable()) to_stdout_.join();
}

}  // namespace mica
