// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/inherited_sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>

namespace mica {

namespace {

constexpr int kFirstDescriptor = 3;
constexpr int kDescriptorsMax = 1024;

int NumberIn(const char* variable) {
  const char* const text = std::getenv(variable);
  int number = -1;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), number);
  return number;
}

// "a:b:c", one name for each descriptor.
std::vector<std::string> Names() {
  std::vector<std::string> names;
  const char* const text = std::getenv("LISTEN_FDNAMES");
  std::string_view rest = text == nullptr ? "" : text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    names.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return names;
}

}  // namespace

Result<InheritedSockets> TakeInheritedSockets() {
  InheritedSockets sockets;
  const int count = NumberIn("LISTEN_PID") == ::getpid() ? NumberIn("LISTEN_FDS") : 0;
  const std::vector<std::string> names = Names();
  for (const char* const variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    ::unsetenv(variable);
  }
  if (count > kDescriptorsMax) {
    return Error{Errc::kLimit, fmt::format("LISTEN_FDS: more than {} sockets", kDescriptorsMax)};
  }
  for (int i = 0; i < count; ++i) {
    UniqueFd socket(kFirstDescriptor + i);
    ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
    ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
    Result<nbd::Listener> listener = nbd::Listener::Adopt(std::move(socket));
    if (!listener) {
      return std::move(listener).error().WithContext(
          fmt::format("descriptor {}", kFirstDescriptor + i));
    }
    const auto index = static_cast<size_t>(i);
    const std::string_view name = index < names.size() ? std::string_view(names[index]) : "";
    std::vector<nbd::Listener>& kind = name == "control"   ? sockets.control
                                       : name == "metrics" ? sockets.metrics
                                                           : sockets.nbd;
    kind.push_back(*std::move(listener));
  }
  return sockets;
}

}  // namespace mica
