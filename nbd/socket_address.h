// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <string>

namespace mica::nbd {

// AF_UNIX, AF_INET, …; AF_UNSPEC when `socket` is none.
int SocketFamily(int socket) noexcept;

// "192.0.2.1:10809", "[2001:db8::1]:10809", "2:10809" (vsock: address and port) or the path of a
// unix socket.
std::string AddressText(const sockaddr_storage& address, socklen_t length);

// The same for the address `socket` is bound to.
std::string LocalAddressText(int socket);

}  // namespace mica::nbd
