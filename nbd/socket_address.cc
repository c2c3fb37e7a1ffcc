// SPDX-License-Identifier: Apache-2.0
#include "nbd/socket_address.h"

#include <fmt/format.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstring>

namespace mica::nbd {

int SocketFamily(int socket) noexcept {
  int family = AF_UNSPEC;
  socklen_t length = sizeof family;
  return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 ? family : AF_UNSPEC;
}

std::string AddressText(const sockaddr_storage& address, socklen_t length) {
  if (address.ss_family == AF_UNIX) {
    sockaddr_un local{};
    std::memcpy(&local, &address, sizeof local);
    if (length <= offsetof(sockaddr_un, sun_path)) return "unnamed unix socket";
    return {local.sun_path, ::strnlen(local.sun_path, sizeof local.sun_path)};
  }
  if (address.ss_family == AF_VSOCK) {
    sockaddr_vm local{};
    std::memcpy(&local, &address, sizeof local);
    // Who listens on every address of a host is reached at the one all hosts have.
    const uint32_t cid = local.svm_cid == VMADDR_CID_ANY ? VMADDR_CID_HOST : local.svm_cid;
    return fmt::format("{}:{}", cid, local.svm_port);
  }
  std::array<char, NI_MAXHOST> host;
  std::array<char, NI_MAXSERV> port;
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);  // the API's own idiom
  if (::getnameinfo(generic, length, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown address";
  }
  const bool brackets = address.ss_family == AF_INET6;
  return fmt::format("{}{}{}:{}", brackets ? "[" : "", host.data(), brackets ? "]" : "",
                     port.data());
}

std::string LocalAddressText(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return "unknown address";
  }
  return AddressText(address, length);
}

}  // namespace mica::nbd
