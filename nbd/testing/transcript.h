// SPDX-License-Identifier: Apache-2.0
// The client's side of the wire for tests: scripts of bytes to send, right or wrong on purpose, and
// a reader that takes the server's answer apart.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/wire.h"

namespace mica::nbd {

inline constexpr uint32_t kUsualClientFlags = kClientFlagFixedNewstyle | kClientFlagNoZeroes;

// Appends what a client sends; every member returns *this.
class ClientScript {
 public:
  ClientScript& Flags(uint32_t flags = kUsualClientFlags) { return Number(flags); }
  ClientScript& Option(OptionCode code, ConstBytes payload = {});
  // An option header that promises `payload_bytes` and nothing behind it.
  ClientScript& OptionHeader(uint32_t code, uint32_t payload_bytes);
  ClientScript& ExportName(std::string_view name) {
    return Option(OptionCode::kExportName, AsBytes(name));
  }
  ClientScript& Go(std::string_view name = "", std::initializer_list<InfoType> infos = {}) {
    return Info(OptionCode::kGo, name, infos);
  }
  ClientScript& Info(OptionCode code, std::string_view name,
                     std::initializer_list<InfoType> infos = {});
  ClientScript& MetaContext(OptionCode code, std::string_view name,
                            std::initializer_list<std::string_view> queries);
  // The usual way into transmission: with base:allocation unless replies are simple. The server
  // answers with so many option replies.
  ClientScript& GoInStyle(ReplyStyle style, std::string_view name = "");
  static constexpr int OptionRepliesOfGo(ReplyStyle style) {
    return style == ReplyStyle::kSimple ? 2 : 5;
  }
  ClientScript& GoStructured(std::string_view name = "") {
    return GoInStyle(ReplyStyle::kStructured, name);
  }
  // Requests from here on have extended headers (and WRITE its flag).
  ClientScript& UseExtendedHeaders() {
    extended_ = true;
    return *this;
  }
  ClientScript& Request(const nbd::Request& request);
  ClientScript& Write(uint64_t cookie, uint64_t offset, ConstBytes payload, uint16_t flags = 0);
  ClientScript& Disconnect() { return Request({.command = Command::kDisconnect}); }
  ClientScript& Raw(ConstBytes bytes);
  template <std::unsigned_integral T>
  ClientScript& Number(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    StoreBe(bytes_, at, value);
    return *this;
  }

  [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  bool extended_ = false;
};

struct ReceivedOptionReply {
  OptionCode option{};
  OptionReply type{};
  std::vector<std::byte> payload;
};

// A simple reply or one chunk of a structured one.
struct ReceivedReply {
  bool structured = false;
  bool extended = false;
  uint64_t request_offset = 0;  // extended only
  bool done = true;
  ChunkType type = ChunkType::kNone;  // structured only
  uint64_t cookie = 0;
  WireError error = WireError::kNone;  // of a simple reply or an error chunk
  std::vector<std::byte> payload;      // data, or the chunk's payload
};

// Takes a server's bytes apart from front to back; every member answers nothing when the bytes end
// early or are not what was asked for.
class ServerScript {
 public:
  explicit ServerScript(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}

  bool Greeting();
  std::optional<ReceivedOptionReply> NextOptionReply();
  // `data_bytes`: how much data follows a successful simple reply.
  std::optional<ReceivedReply> NextReply(size_t data_bytes = 0);
  std::optional<std::vector<std::byte>> Take(size_t count);

  [[nodiscard]] bool empty() const noexcept { return at_ == bytes_.size(); }

 private:
  [[nodiscard]] ConstBytes rest() const noexcept { return ConstBytes(bytes_).subspan(at_); }

  std::vector<std::byte> bytes_;
  size_t at_ = 0;
};

}  // namespace mica::nbd
