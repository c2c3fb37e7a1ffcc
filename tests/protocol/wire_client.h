// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "engine/base/unique_fd.h"
#include "nbd/testing/transcript.h"

namespace mica::nbd {

// A client that blocks, and does only and exactly what it is told. Gives up waiting after a while,
// so that a silent server fails a test instead of hanging it.
class WireClient {
 public:
  explicit WireClient(UniqueFd socket);

  // False when the server has closed the connection.
  bool Send(ConstBytes bytes);
  bool Send(const ClientScript& script) { return Send(script.bytes()); }
  // As much as the kernel takes without blocking; the number of bytes.
  size_t SendWithoutBlocking(ConstBytes bytes);

  // Nothing when the server closes first.
  std::optional<std::vector<std::byte>> Receive(size_t count);
  bool Greeting();
  std::optional<ReceivedOptionReply> NextOptionReply();
  // `data_bytes`: how much data follows a successful simple reply.
  std::optional<ReceivedReply> NextReply(size_t data_bytes = 0);
  // One request and the error of its reply.
  WireError Ask(const Request& request, ConstBytes payload = {});
  // True when the server closes the connection without another byte.
  bool AtEnd();

  // What Ask speaks; must be what was negotiated.
  void SetStyle(ReplyStyle style) noexcept { style_ = style; }

  void ShutdownWrite();
  void Close() { socket_.Close(); }
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }

 private:
  UniqueFd socket_;
  ReplyStyle style_ = ReplyStyle::kSimple;
};

}  // namespace mica::nbd
