// SPDX-License-Identifier: Apache-2.0
#include "nbd/listener.h"

#include <fmt/format.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>

#include "nbd/socket_address.h"

namespace mica::nbd {

namespace {

constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

Result<sockaddr_un> UnixAddress(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.empty() || text.size() >= sizeof address.sun_path) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: the path of a unix socket has 1 to {} bytes; use a shorter one",
                             text, sizeof address.sun_path - 1)};
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

// The socket API's own idiom.
template <class Address>
const sockaddr* Generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// Removes the name of a socket whose server is gone. Two servers that do this at the same moment
// can race; the later one wins the name.
Result<void> RemoveStaleSocket(const sockaddr_un& address) {
  struct stat status{};
  if (::lstat(address.sun_path, &status) != 0) return ErrnoError(errno, address.sun_path);
  if (!S_ISSOCK(status.st_mode)) {
    return Error{Errc::kExists, fmt::format("{}: exists and is not a socket", address.sun_path)};
  }
  const UniqueFd probe(::socket(AF_UNIX, kSocketFlags, 0));
  if (!probe) return ErrnoError(errno, "socket");
  if (::connect(probe.get(), Generic(address), sizeof address) == 0 || errno != ECONNREFUSED) {
    return Error{Errc::kBusy, fmt::format("{}: another server listens here", address.sun_path)};
  }
  if (::unlink(address.sun_path) != 0) return ErrnoError(errno, address.sun_path);
  return {};
}

Result<void> BindUnix(int socket, const sockaddr_un& address) {
  if (::bind(socket, Generic(address), sizeof address) == 0) return {};
  if (errno != EADDRINUSE) return ErrnoError(errno, fmt::format("bind {}", address.sun_path));
  TRY(RemoveStaleSocket(address));
  if (::bind(socket, Generic(address), sizeof address) == 0) return {};
  return ErrnoError(errno, fmt::format("bind {}", address.sun_path));
}

Result<UniqueFd> ListenTcp(const addrinfo& info) {
  UniqueFd socket(::socket(info.ai_family, kSocketFlags, 0));
  if (!socket) return ErrnoError(errno, "socket");
  const int on = 1;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (info.ai_family == AF_INET6) {
    // Each family has its own socket, so that "all addresses" works whatever the host's default.
    (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (::bind(socket.get(), info.ai_addr, info.ai_addrlen) != 0) return ErrnoError(errno, "bind");
  if (::listen(socket.get(), SOMAXCONN) != 0) return ErrnoError(errno, "listen");
  return socket;
}

struct FreeAddrinfo {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using AddrinfoList = std::unique_ptr<addrinfo, FreeAddrinfo>;

Result<AddrinfoList> Resolve(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  const int failed =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &list);
  if (failed != 0) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}:{}: {}", host, port, ::gai_strerror(failed))};
  }
  return AddrinfoList(list);
}

std::string PercentEncoded(std::string_view text, std::string_view also_plain) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string encoded;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos || also_plain.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace

Listener::Listener(UniqueFd socket, std::string address)
    : socket_(std::move(socket)), address_(std::move(address)) {}

Result<Listener> Listener::OnUnixSocket(const std::filesystem::path& path, mode_t mode) {
  ASSIGN(const sockaddr_un address, UnixAddress(path));
  UniqueFd socket(::socket(AF_UNIX, kSocketFlags, 0));
  if (!socket) return ErrnoError(errno, "socket");
  // Before bind: the name then never has a wider mode than asked for. After: the umask may have
  // taken bits away.
  if (::fchmod(socket.get(), mode) != 0) return ErrnoError(errno, "fchmod");
  TRY(BindUnix(socket.get(), address));
  Listener listener(std::move(socket), path.native());
  struct stat status{};
  if (::lstat(address.sun_path, &status) != 0) return ErrnoError(errno, path.native());
  listener.name_ = BoundName{.path = path, .device = status.st_dev, .inode = status.st_ino};
  if (::chmod(address.sun_path, mode) != 0) return ErrnoError(errno, path.native());
  if (::listen(listener.fd(), SOMAXCONN) != 0) return ErrnoError(errno, "listen");
  return listener;
}

Result<std::vector<Listener>> Listener::OnTcp(const std::string& host, const std::string& port) {
  ASSIGN(const AddrinfoList list, Resolve(host, port));
  std::vector<Listener> listeners;
  for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
    Result<UniqueFd> socket = ListenTcp(*info);
    if (!socket && host.empty() && socket.error().sys_errno == EAFNOSUPPORT) continue;  // no IPv6
    if (!socket) return std::move(socket).error().WithContext(fmt::format("{}:{}", host, port));
    std::string address = LocalAddressText(socket->get());
    listeners.push_back(Listener(*std::move(socket), std::move(address)));
  }
  if (listeners.empty()) {
    return Error{Errc::kUnsupported, fmt::format("{}:{}: no usable address", host, port)};
  }
  return listeners;
}

Result<Listener> Listener::OnVsock(uint32_t cid, uint32_t port) {
  UniqueFd socket(::socket(AF_VSOCK, kSocketFlags, 0));
  if (!socket && errno == EAFNOSUPPORT) {
    return Error{Errc::kUnsupported, "vsock: this kernel has none; load a vsock transport"};
  }
  if (!socket) return ErrnoError(errno, "vsock");
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  const auto* const generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::bind(socket.get(), generic, sizeof address) != 0) {
    return ErrnoError(errno, fmt::format("bind vsock {}:{}", cid, port));
  }
  if (::listen(socket.get(), SOMAXCONN) != 0) return ErrnoError(errno, "listen");
  std::string text = LocalAddressText(socket.get());
  return Listener(std::move(socket), std::move(text));
}

Result<Listener> Listener::Adopt(UniqueFd socket) {
  int listens = 0;
  socklen_t length = sizeof listens;
  const int family = SocketFamily(socket.get());
  const bool known =
      family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_VSOCK;
  if (!known || ::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0 ||
      listens == 0) {
    return Error{Errc::kInvalidArgument, "the inherited descriptor is not a listening socket"};
  }
  std::string address = LocalAddressText(socket.get());
  return Listener(std::move(socket), std::move(address));
}

void Listener::OwnPath(const std::filesystem::path& path) {
  struct stat status{};
  if (path != address_ || ::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  name_ = BoundName{.path = path, .device = status.st_dev, .inode = status.st_ino};
}

std::string Listener::Uri(std::string_view export_name, UriSecurity security) const {
  const std::string name = PercentEncoded(export_name, "/");
  const std::string_view scheme = security == UriSecurity::kTls ? "nbds" : "nbd";
  const int family = SocketFamily(fd());
  if (family == AF_UNIX) {
    return fmt::format("{}+unix:///{}?socket={}", scheme, name, PercentEncoded(address_, "/"));
  }
  return fmt::format("{}{}://{}/{}", scheme, family == AF_VSOCK ? "+vsock" : "", address_, name);
}

Result<std::optional<UniqueFd>> Listener::Accept() {
  const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) return std::optional(UniqueFd(fd));
  switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EINVAL:
      return ErrnoError(errno, "accept");
    default:
      return std::optional<UniqueFd>();  // accept(2): an error of the new connection
  }
}

void Listener::Stop() noexcept {
  RemoveName();
  ::shutdown(socket_.get(), SHUT_RDWR);
}

void Listener::RemoveName() noexcept {
  if (!name_ || !socket_) return;
  struct stat status{};
  const char* const path = name_->path.c_str();
  if (::lstat(path, &status) == 0 && status.st_dev == name_->device &&
      status.st_ino == name_->inode) {
    ::unlink(path);
  }
  name_.reset();
}

}  // namespace mica::nbd
