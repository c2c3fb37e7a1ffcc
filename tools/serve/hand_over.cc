// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/hand_over.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "nbd/receive_buffer.h"
#include "tools/serve/config_json.h"
#include "tools/serve/control_client.h"

namespace mica {

namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kDescriptorsMax = 200'000;
constexpr size_t kDescriptorsPerMessage = 200;  // the kernel takes 253
constexpr size_t kStateBytesMax = size_t{1} << 30;

json Describe(const nbd::HandedConnection& connection) {
  json contexts = json::array();
  for (const auto& context : connection.contexts) {
    contexts.push_back({{"name", context.name}, {"id", context.id}});
  }
  return {{"peer", connection.peer},
          {"export", connection.export_name},
          {"replies", static_cast<int>(connection.replies)},
          {"flags", connection.flags},
          {"contexts", std::move(contexts)},
          {"unread", std::string(AsText(connection.unread))}};
}

json Describe(const std::vector<nbd::Listener>& listeners, std::string_view kind) {
  json described = json::array();
  for (const nbd::Listener& listener : listeners) {
    described.push_back({{"kind", kind}, {"path", listener.owned_path()}});
  }
  return described;
}

json Describe(const HandedServer& server) {
  const ServeConfig& config = server.config;
  json exports = json::array();
  for (const ExportConfig& one : config.exports) {
    exports.push_back({{"fields", JsonFromFields(FieldsOf(one))}, {"from-file", one.from_file}});
  }
  json listeners = Describe(server.sockets.nbd, "nbd");
  for (json& one : Describe(server.sockets.control, "control")) listeners.push_back(std::move(one));
  for (json& one : Describe(server.sockets.metrics, "metrics")) listeners.push_back(std::move(one));
  json connections = json::array();
  for (const nbd::HandedConnection& one : server.connections) connections.push_back(Describe(one));
  json state{{"version", kVersion},
             {"exports", std::move(exports)},
             {"listeners", std::move(listeners)},
             {"connections", std::move(connections)},
             {"server", JsonFromFields(ServerFieldsOf(config))},
             {"limits", JsonFromFields(LimitFieldsOf(config))}};
  if (server.config_file) state["config-file"] = *server.config_file;
  return state;
}

Result<UniqueFd> Duplicate(int descriptor) {
  UniqueFd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
  if (!copy) return ErrnoError(errno, "duplicate a descriptor");
  return copy;
}

Result<UniqueFd> BytesInMemory(ConstBytes bytes) {
  UniqueFd memory(::memfd_create("mica-state", MFD_CLOEXEC));
  if (!memory) return ErrnoError(errno, "memfd_create");
  while (!bytes.empty()) {
    const ssize_t count = ::write(memory.get(), bytes.data(), bytes.size());
    if (count < 0) return ErrnoError(errno, "write the state");
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return memory;
}

Result<std::vector<uint8_t>> BytesFrom(int memory) {
  std::vector<uint8_t> bytes;
  std::array<uint8_t, 65536> buffer;
  for (;;) {
    const ssize_t count =
        ::pread(memory, buffer.data(), buffer.size(), static_cast<off_t>(bytes.size()));
    if (count < 0) return ErrnoError(errno, "read the state");
    if (count == 0) return bytes;
    bytes.insert(bytes.end(), buffer.begin(), buffer.begin() + count);
    if (bytes.size() > kStateBytesMax) return Error{Errc::kLimit, "a state of more than 1 GiB"};
  }
}

Error Malformed(std::string_view what) {
  return Error{Errc::kMismatch,
               fmt::format("the state of the running server cannot be taken over: {}", what)};
}

}  // namespace

Result<std::vector<UniqueFd>> PackServer(const HandedServer& server) {
  std::vector<UniqueFd> descriptors;
  // Not JSON text: names and unread requests are any bytes.
  const std::vector<uint8_t> state = json::to_cbor(Describe(server));
  ASSIGN(UniqueFd memory, BytesInMemory(std::as_bytes(std::span(state))));
  descriptors.push_back(std::move(memory));
  for (const auto* const kind :
       {&server.sockets.nbd, &server.sockets.control, &server.sockets.metrics}) {
    for (const nbd::Listener& listener : *kind) {
      ASSIGN(UniqueFd copy, Duplicate(listener.fd()));
      descriptors.push_back(std::move(copy));
    }
  }
  for (const nbd::HandedConnection& connection : server.connections) {
    ASSIGN(UniqueFd copy, Duplicate(connection.socket.get()));
    descriptors.push_back(std::move(copy));
  }
  return descriptors;
}

namespace {

// Takes descriptors in the order PackServer has put them.
class Descriptors {
 public:
  explicit Descriptors(std::vector<UniqueFd> all) : all_(std::move(all)) {}
  Result<UniqueFd> Next() {
    if (next_ == all_.size()) return Malformed("too few descriptors");
    return std::move(all_[next_++]);
  }

 private:
  std::vector<UniqueFd> all_;
  size_t next_ = 0;
};

// Content of a member, or what no state has: the checks come with the use.
json Member(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : json();
}
std::string TextOf(const json& object, const char* key) {
  const json member = Member(object, key);
  return member.is_string() ? member.get<std::string>() : std::string();
}
uint32_t NumberOf(const json& object, const char* key) {
  const json member = Member(object, key);
  return member.is_number_unsigned() ? member.get<uint32_t>() : 0;
}

Result<void> UnpackExports(const json& state, ServeConfig& config) {
  for (const json& one : Member(state, "exports")) {
    ASSIGN(const ConfigFields fields, FieldsFromJson(Member(one, "fields")));
    ASSIGN(ExportConfig added, ExportFromFields(fields));
    added.from_file = Member(one, "from-file") == true;
    config.exports.push_back(std::move(added));
  }
  return {};
}

Result<void> UnpackListeners(const json& state, Descriptors& from, InheritedSockets& sockets) {
  for (const json& one : Member(state, "listeners")) {
    ASSIGN(UniqueFd socket, from.Next());
    ASSIGN(nbd::Listener listener, nbd::Listener::Adopt(std::move(socket)));
    const std::string path = TextOf(one, "path");
    if (!path.empty()) listener.OwnPath(path);
    const std::string kind = TextOf(one, "kind");
    std::vector<nbd::Listener>& to = kind == "control"   ? sockets.control
                                     : kind == "metrics" ? sockets.metrics
                                                         : sockets.nbd;
    to.push_back(std::move(listener));
  }
  return {};
}

Result<nbd::HandedConnection> UnpackConnection(const json& one, UniqueFd socket) {
  nbd::HandedConnection connection;
  connection.socket = std::move(socket);
  connection.peer = TextOf(one, "peer");
  connection.export_name = TextOf(one, "export");
  const uint32_t replies = NumberOf(one, "replies");
  if (replies > static_cast<uint32_t>(nbd::ReplyStyle::kExtended)) return Malformed("replies");
  connection.replies = static_cast<nbd::ReplyStyle>(replies);
  connection.flags = static_cast<uint16_t>(NumberOf(one, "flags"));
  for (const json& context : Member(one, "contexts")) {
    connection.contexts.push_back({.name = TextOf(context, "name"), .id = NumberOf(context, "id")});
  }
  const std::string unread = TextOf(one, "unread");
  if (unread.size() > nbd::ReceiveBuffer::kCapacityBytes) return Malformed("unread requests");
  const ConstBytes bytes = AsBytes(unread);
  connection.unread.assign(bytes.begin(), bytes.end());
  return connection;
}

}  // namespace

Result<HandedServer> UnpackServer(std::vector<UniqueFd> descriptors) {
  Descriptors from(std::move(descriptors));
  ASSIGN(const UniqueFd memory, from.Next());
  ASSIGN(const std::vector<uint8_t> bytes, BytesFrom(memory.get()));
  const json state = json::from_cbor(bytes, true, /*allow_exceptions=*/false);
  if (NumberOf(state, "version") != kVersion) return Malformed("it is of another version");
  HandedServer server;
  ASSIGN(const ConfigFields fields, FieldsFromJson(Member(state, "server")));
  TRY(ServerFromFields(fields, server.config));
  ASSIGN(const ConfigFields limits, FieldsFromJson(Member(state, "limits")));
  TRY(LimitsFromFields(limits, server.config));
  TRY(UnpackExports(state, server.config));
  TRY(UnpackListeners(state, from, server.sockets));
  for (const json& one : Member(state, "connections")) {
    ASSIGN(UniqueFd socket, from.Next());
    ASSIGN(nbd::HandedConnection connection, UnpackConnection(one, std::move(socket)));
    server.connections.push_back(std::move(connection));
  }
  const std::string config_file = TextOf(state, "config-file");
  if (!config_file.empty()) server.config_file = config_file;
  return server;
}

namespace {

// One byte of content with each batch, as a stream carries no empty messages.
struct DescriptorMessage {
  DescriptorMessage() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  char content = 0;
  iovec part{.iov_base = &content, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kDescriptorsPerMessage * sizeof(int))> control{};
  msghdr message{};
};

Result<void> SendBatch(int socket, std::span<const UniqueFd> batch) {
  DescriptorMessage sent;
  sent.message.msg_controllen = CMSG_SPACE(batch.size() * sizeof(int));
  cmsghdr* const header = CMSG_FIRSTHDR(&sent.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(batch.size() * sizeof(int));
  for (size_t i = 0; i < batch.size(); ++i) {
    const int descriptor = batch[i].get();
    std::memcpy(CMSG_DATA(header) + i * sizeof(int), &descriptor, sizeof descriptor);
  }
  if (::sendmsg(socket, &sent.message, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    return ErrnoError(errno, "send descriptors");
  }
  return {};
}

Result<void> ReceiveBatch(int socket, std::vector<UniqueFd>& into) {
  DescriptorMessage received;
  const ssize_t count = ::recvmsg(socket, &received.message, MSG_CMSG_CLOEXEC);
  if (count < 0) return ErrnoError(errno, "receive descriptors");
  const size_t before = into.size();
  for (cmsghdr* header = CMSG_FIRSTHDR(&received.message); header != nullptr;
       header = CMSG_NXTHDR(&received.message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t descriptors = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < descriptors; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
      into.emplace_back(descriptor);
    }
  }
  if (into.size() == before) return Malformed("descriptors are missing");
  return {};
}

// Byte by byte: behind the line come the descriptors, which belong to their own bytes.
Result<std::string> ReceiveAnswer(int socket) {
  constexpr size_t kAnswerBytesMax = 64u << 10;
  std::string line;
  for (char c = 0; line.size() < kAnswerBytesMax; line += c) {
    const ssize_t count = ::recv(socket, &c, 1, 0);
    if (count < 0) return ErrnoError(errno, "control socket: receive");
    if (count == 0) break;
    if (c == '\n') return line;
  }
  return Malformed("the running server did not answer");
}

Result<void> SendLine(int socket, std::string_view line) {
  const ssize_t sent = ::send(socket, line.data(), line.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(line.size())) return ErrnoError(errno, "control socket: send");
  return {};
}

}  // namespace

Async<void> SendDescriptors(EventLoop& loop, int socket, const std::vector<UniqueFd>& descriptors) {
  std::span<const UniqueFd> rest = descriptors;
  while (!rest.empty()) {
    const auto batch = rest.first(std::min(rest.size(), kDescriptorsPerMessage));
    const Result<void> sent = SendBatch(socket, batch);
    if (!sent && sent.error().sys_errno != EAGAIN) co_return Error(sent.error());
    if (sent) {
      rest = rest.subspan(batch.size());
    } else {
      CO_TRY(co_await loop.WaitReady(socket, Readiness::kWritable));
    }
  }
  co_return Result<void>();
}

Result<TakenServer> TakeServer(const std::string& path) {
  TakenServer taken;
  ASSIGN(taken.control, ConnectToControl(path));
  TRY(SendLine(taken.control.get(), "{\"command\":\"hand-over\"}\n"));
  ASSIGN(const std::string line, ReceiveAnswer(taken.control.get()));
  ASSIGN(const json answer, ParseJsonObject(line));
  if (Member(answer, "ok") != true) {
    return Error{Errc::kBusy, fmt::format("{}: {}", path, TextOf(answer, "error"))};
  }
  const size_t count = NumberOf(answer, "descriptors");
  if (count > kDescriptorsMax) return Malformed("too many descriptors");
  std::vector<UniqueFd> descriptors;
  while (descriptors.size() < count) TRY(ReceiveBatch(taken.control.get(), descriptors));
  ASSIGN(taken.server, UnpackServer(std::move(descriptors)));
  return taken;
}

Result<void> TellTakenOver(int control) {
  return SendLine(control, "{\"command\":\"taken-over\"}\n");
}

}  // namespace mica
