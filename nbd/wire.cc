// SPDX-License-Identifier: Apache-2.0
#include "nbd/wire.h"

#include <utility>

namespace mica::nbd {

void EncodeGreeting(Bytes to, uint16_t handshake_flags) {
  StoreBe(to, 0, kInitMagic);
  StoreBe(to, 8, kOptionMagic);
  StoreBe(to, 16, handshake_flags);
}

void EncodeOptionReplyHeader(Bytes to, OptionCode option, OptionReply type,
                             uint32_t payload_bytes) {
  StoreBe(to, 0, kOptionReplyMagic);
  StoreBe(to, 8, std::to_underlying(option));
  StoreBe(to, 12, std::to_underlying(type));
  StoreBe(to, 16, payload_bytes);
}

void EncodeSimpleReply(Bytes to, uint64_t cookie, WireError error) {
  StoreBe(to, 0, kSimpleReplyMagic);
  StoreBe(to, 4, std::to_underlying(error));
  StoreBe(to, 8, cookie);
}

void EncodeChunkHeader(Bytes to, const ChunkHeader& header) {
  StoreBe(to, 0, kStructuredReplyMagic);
  StoreBe(to, 4, header.flags);
  StoreBe(to, 6, std::to_underlying(header.type));
  StoreBe(to, 8, header.cookie);
  StoreBe(to, 16, header.payload_bytes);
}

void EncodeExtendedChunkHeader(Bytes to, const ChunkHeader& header) {
  StoreBe(to, 0, kExtendedReplyMagic);
  StoreBe(to, 4, header.flags);
  StoreBe(to, 6, std::to_underlying(header.type));
  StoreBe(to, 8, header.cookie);
  StoreBe(to, 16, header.request_offset);
  StoreBe(to, 24, uint64_t{header.payload_bytes});
}

void EncodeOptionHeader(Bytes to, OptionCode option, uint32_t payload_bytes) {
  StoreBe(to, 0, kOptionMagic);
  StoreBe(to, 8, std::to_underlying(option));
  StoreBe(to, 12, payload_bytes);
}

void EncodeRequest(Bytes to, const Request& request) {
  StoreBe(to, 0, kRequestMagic);
  StoreBe(to, 4, request.flags);
  StoreBe(to, 6, std::to_underlying(request.command));
  StoreBe(to, 8, request.cookie);
  StoreBe(to, 16, request.range.offset);
  StoreBe(to, 24, static_cast<uint32_t>(request.range.length));
}

void EncodeExtendedRequest(Bytes to, const Request& request) {
  StoreBe(to, 0, kExtendedRequestMagic);
  StoreBe(to, 4, request.flags);
  StoreBe(to, 6, std::to_underlying(request.command));
  StoreBe(to, 8, request.cookie);
  StoreBe(to, 16, request.range.offset);
  StoreBe(to, 24, request.range.length);
}

std::optional<OptionHeader> DecodeOptionHeader(ConstBytes from) {
  if (LoadBe<uint64_t>(from, 0) != kOptionMagic) return std::nullopt;
  return OptionHeader{.code = OptionCode{LoadBe<uint32_t>(from, 8)},
                      .payload_bytes = LoadBe<uint32_t>(from, 12)};
}

std::optional<Request> DecodeRequest(ConstBytes from) {
  if (LoadBe<uint32_t>(from, 0) != kRequestMagic) return std::nullopt;
  Request request{.flags = LoadBe<uint16_t>(from, 4),
                  .command = Command{LoadBe<uint16_t>(from, 6)},
                  .cookie = LoadBe<uint64_t>(from, 8),
                  .range = {LoadBe<uint64_t>(from, 16), LoadBe<uint32_t>(from, 24)}};
  if (request.command == Command::kWrite) request.payload_bytes = request.range.length;
  return request;
}

std::optional<Request> DecodeExtendedRequest(ConstBytes from) {
  if (LoadBe<uint32_t>(from, 0) != kExtendedRequestMagic) return std::nullopt;
  Request request{.flags = LoadBe<uint16_t>(from, 4),
                  .command = Command{LoadBe<uint16_t>(from, 6)},
                  .cookie = LoadBe<uint64_t>(from, 8),
                  .range = {LoadBe<uint64_t>(from, 16), LoadBe<uint64_t>(from, 24)}};
  // A WRITE has its data behind it even if the client forgot to say so: other servers take it, and
  // nobody writes nothing.
  const bool has_payload =
      request.command == Command::kWrite || (request.flags & kCommandPayloadLen) != 0;
  if (has_payload) request.payload_bytes = request.range.length;
  return request;
}

std::string_view CommandName(Command command) noexcept {
  switch (command) {
    case Command::kRead:
      return "READ";
    case Command::kWrite:
      return "WRITE";
    case Command::kDisconnect:
      return "DISC";
    case Command::kFlush:
      return "FLUSH";
    case Command::kTrim:
      return "TRIM";
    case Command::kCache:
      return "CACHE";
    case Command::kWriteZeroes:
      return "WRITE_ZEROES";
    case Command::kBlockStatus:
      return "BLOCK_STATUS";
  }
  return "unknown";
}

}  // namespace mica::nbd
