// SPDX-License-Identifier: Apache-2.0
#include "tests/protocol/wire_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace mica::nbd {

namespace {

// A socket call with a timeout is not restarted by the kernel, and what an io_uring of this thread
// leaves to be done when it goes interrupts like a signal.
template <class Call>
ssize_t Uninterrupted(Call call) {
  ssize_t result = -1;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace

WireClient::WireClient(UniqueFd socket) : socket_(std::move(socket)) {
  const timeval patience{.tv_sec = 30, .tv_usec = 0};
  (void)::setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  (void)::setsockopt(fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

bool WireClient::Send(ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        Uninterrupted([&] { return ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL); });
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

size_t WireClient::SendWithoutBlocking(ConstBytes bytes) {
  const ssize_t count = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return count < 0 ? 0 : static_cast<size_t>(count);
}

std::optional<std::vector<std::byte>> WireClient::Receive(size_t count) {
  std::vector<std::byte> bytes(count);
  size_t received = 0;
  while (received < count) {
    const ssize_t part =
        Uninterrupted([&] { return ::recv(fd(), bytes.data() + received, count - received, 0); });
    if (part <= 0) return std::nullopt;
    received += static_cast<size_t>(part);
  }
  return bytes;
}

bool WireClient::Greeting() {
  auto bytes = Receive(kGreetingBytes);
  return bytes && ServerScript(*std::move(bytes)).Greeting();
}

std::optional<ReceivedOptionReply> WireClient::NextOptionReply() {
  auto bytes = Receive(kOptionReplyHeaderBytes);
  if (!bytes) return std::nullopt;
  const auto payload = Receive(LoadBe<uint32_t>(*bytes, 16));
  if (!payload) return std::nullopt;
  bytes->insert(bytes->end(), payload->begin(), payload->end());
  return ServerScript(*std::move(bytes)).NextOptionReply();
}

std::optional<ReceivedReply> WireClient::NextReply(size_t data_bytes) {
  auto bytes = Receive(kSimpleReplyBytes);
  if (!bytes) return std::nullopt;
  size_t rest = data_bytes;
  if (LoadBe<uint32_t>(*bytes, 0) == kStructuredReplyMagic) {
    const auto length = Receive(kChunkHeaderBytes - kSimpleReplyBytes);
    if (!length) return std::nullopt;
    bytes->insert(bytes->end(), length->begin(), length->end());
    rest = LoadBe<uint32_t>(*length, 0);
  } else if (LoadBe<uint32_t>(*bytes, 0) == kExtendedReplyMagic) {
    const auto more = Receive(kExtendedChunkHeaderBytes - kSimpleReplyBytes);
    if (!more) return std::nullopt;
    bytes->insert(bytes->end(), more->begin(), more->end());
    rest = LoadBe<uint64_t>(*more, 8);
  } else if (LoadBe<uint32_t>(*bytes, 4) != 0) {
    rest = 0;
  }
  const auto payload = Receive(rest);
  if (!payload) return std::nullopt;
  bytes->insert(bytes->end(), payload->begin(), payload->end());
  return ServerScript(*std::move(bytes)).NextReply(data_bytes);
}

WireError WireClient::Ask(const Request& request, ConstBytes payload) {
  constexpr WireError kNoAnswer{999};
  ClientScript script;
  if (style_ == ReplyStyle::kExtended) script.UseExtendedHeaders();
  script.Request(request).Raw(payload);
  if (!Send(script)) return kNoAnswer;
  const size_t data_bytes = request.command == Command::kRead ? request.range.length : 0;
  for (;;) {
    const auto reply = NextReply(data_bytes);
    if (!reply || reply->cookie != request.cookie) return kNoAnswer;
    if (reply->done) return reply->error;
  }
}

bool WireClient::AtEnd() {
  std::byte byte;
  const ssize_t count = Uninterrupted([&] { return ::recv(fd(), &byte, 1, 0); });
  return count == 0 || (count < 0 && errno == ECONNRESET);
}

void WireClient::ShutdownWrite() {
  ::shutdown(fd(), SHUT_WR);
}

}  // namespace mica::nbd
