// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/control_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace mica {

Result<UniqueFd> ConnectToControl(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{Errc::kInvalidArgument, fmt::format("{}: too long for a unix socket", path)};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return ErrnoError(errno, "socket");
  const void* const generic = &address;
  if (::connect(socket.get(), static_cast<const sockaddr*>(generic), sizeof address) != 0) {
    return ErrnoError(errno,
                      fmt::format("{}: connect (is the server running with --control?)", path));
  }
  return socket;
}

}  // namespace mica
