// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/control_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tools/serve/config_json.h"

namespace mica {

namespace {

Errc KindNamed(std::string_view name) {
  for (int code = 0; code <= static_cast<int>(Errc::kCancelled); ++code) {
    if (ErrcName(static_cast<Errc>(code)) == name) return static_cast<Errc>(code);
  }
  return Errc::kIo;
}

Result<void> SendLine(int socket, const std::string& line) {
  for (size_t at = 0; at < line.size();) {
    const ssize_t sent = ::send(socket, line.data() + at, line.size() - at, MSG_NOSIGNAL);
    if (sent < 0) return ErrnoError(errno, "control socket: send");
    at += static_cast<size_t>(sent);
  }
  return {};
}

Result<std::string> ReceiveLine(int socket) {
  constexpr size_t kAnswerBytesMax = 64u << 20;
  std::string answer;
  std::array<char, 65536> buffer;
  while (answer.find('\n') == std::string::npos) {
    const ssize_t count = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (count < 0) return ErrnoError(errno, "control socket: receive");
    if (count == 0 || answer.size() > kAnswerBytesMax) {
      return Error{Errc::kIo, "the server ended before it answered"};
    }
    answer.append(buffer.data(), static_cast<size_t>(count));
  }
  return answer;
}

}  // namespace

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

Result<ControlClient> ControlClient::Connect(const std::string& path) {
  ASSIGN(UniqueFd socket, ConnectToControl(path));
  return ControlClient(std::move(socket));
}

Result<nlohmann::json> ControlClient::Ask(const nlohmann::json& request) {
  TRY(SendLine(socket_.get(), JsonLine(request) + "\n"));
  ASSIGN(const std::string line, ReceiveLine(socket_.get()));
  ASSIGN(nlohmann::json answer, ParseJsonObject(line));
  if (answer.contains("ok") && answer["ok"] == true) return answer;
  return Error{KindNamed(answer.value("kind", "")), answer.value("error", "no reason was given")};
}

}  // namespace mica
