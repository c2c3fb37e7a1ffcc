// SPDX-License-Identifier: Apache-2.0
// The NBD wire format: constants and pure encoding and decoding of fixed-size headers. Everything
// on the wire is big-endian. Names in quotation marks are sections of the NBD protocol document
// (NetworkBlockDevice/nbd, doc/proto.md). Nothing here reads, sends or judges.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/base/bytes.h"
#include "engine/base/range.h"

namespace mica::nbd {

// "Values", the magic numbers.
inline constexpr uint64_t kInitMagic = 0x4e42444d41474943;    // "NBDMAGIC"
inline constexpr uint64_t kOptionMagic = 0x49484156454f5054;  // "IHAVEOPT"
inline constexpr uint64_t kOptionReplyMagic = 0x0003e889045565a9;
inline constexpr uint32_t kRequestMagic = 0x25609513;
inline constexpr uint32_t kSimpleReplyMagic = 0x67446698;
inline constexpr uint32_t kStructuredReplyMagic = 0x668e33ef;
inline constexpr uint32_t kExtendedRequestMagic = 0x21e41c71;
inline constexpr uint32_t kExtendedReplyMagic = 0x6e8a278c;

// "String" and "Size constraints": the limits of everything a peer may make long.
inline constexpr uint32_t kStringBytesMax = 4096;               // names, descriptions, error texts
inline constexpr uint32_t kPayloadBytesMax = 64u << 20;         // accepted in one READ or WRITE
inline constexpr uint32_t kPayloadBytesAdvertised = 32u << 20;  // told to the client

// "Handshake flags" of the server and "Client flags".
inline constexpr uint16_t kFlagFixedNewstyle = 1u << 0;
inline constexpr uint16_t kFlagNoZeroes = 1u << 1;
inline constexpr uint32_t kClientFlagFixedNewstyle = 1u << 0;
inline constexpr uint32_t kClientFlagNoZeroes = 1u << 1;

// "Transmission flags".
inline constexpr uint16_t kFlagHasFlags = 1u << 0;
inline constexpr uint16_t kFlagReadOnly = 1u << 1;
inline constexpr uint16_t kFlagSendFlush = 1u << 2;
inline constexpr uint16_t kFlagSendFua = 1u << 3;
inline constexpr uint16_t kFlagRotational = 1u << 4;
inline constexpr uint16_t kFlagSendTrim = 1u << 5;
inline constexpr uint16_t kFlagSendWriteZeroes = 1u << 6;
inline constexpr uint16_t kFlagSendDf = 1u << 7;
inline constexpr uint16_t kFlagCanMultiConn = 1u << 8;
inline constexpr uint16_t kFlagSendCache = 1u << 10;
inline constexpr uint16_t kFlagSendFastZero = 1u << 11;
inline constexpr uint16_t kFlagBlockStatusPayload = 1u << 12;

// "Command flags".
inline constexpr uint16_t kCommandFua = 1u << 0;
inline constexpr uint16_t kCommandNoHole = 1u << 1;
inline constexpr uint16_t kCommandDf = 1u << 2;
inline constexpr uint16_t kCommandReqOne = 1u << 3;
inline constexpr uint16_t kCommandFastZero = 1u << 4;
inline constexpr uint16_t kCommandPayloadLen = 1u << 5;

// "Option types". A value from the wire may be none of these.
enum class OptionCode : uint32_t {
  kExportName = 1,
  kAbort = 2,
  kList = 3,
  kStartTls = 5,
  kInfo = 6,
  kGo = 7,
  kStructuredReply = 8,
  kListMetaContext = 9,
  kSetMetaContext = 10,
  kExtendedHeaders = 11,
};

// "Option reply types".
enum class OptionReply : uint32_t {
  kAck = 1,
  kServer = 2,
  kInfo = 3,
  kMetaContext = 4,
  kErrUnsup = (1u << 31) + 1,
  kErrPolicy = (1u << 31) + 2,
  kErrInvalid = (1u << 31) + 3,
  kErrPlatform = (1u << 31) + 4,
  kErrTlsRequired = (1u << 31) + 5,
  kErrUnknown = (1u << 31) + 6,
  kErrShutdown = (1u << 31) + 7,
  kErrBlockSizeRequired = (1u << 31) + 8,
  kErrTooBig = (1u << 31) + 9,
  kErrExtendedHeadersRequired = (1u << 31) + 10,
};

// "Option reply types", NBD_REP_INFO.
enum class InfoType : uint16_t { kExport = 0, kName = 1, kDescription = 2, kBlockSize = 3 };

// The headers and replies a client has agreed to: plain, "Structured reply chunk message" (only the
// replies change), "Extended request" and "Extended reply chunk message" (both change).
enum class ReplyStyle : uint8_t { kSimple, kStructured, kExtended };

// "Request types". A value from the wire may be none of these.
enum class Command : uint16_t {
  kRead = 0,
  kWrite = 1,
  kDisconnect = 2,
  kFlush = 3,
  kTrim = 4,
  kCache = 5,
  kWriteZeroes = 6,
  kBlockStatus = 7,
};

// "Structured reply types" and "Structured reply flags".
enum class ChunkType : uint16_t {
  kNone = 0,
  kOffsetData = 1,
  kOffsetHole = 2,
  kBlockStatus = 5,
  kBlockStatusExtended = 6,
  kError = (1u << 15) + 1,
  kErrorOffset = (1u << 15) + 2,
};
inline constexpr uint16_t kChunkDone = 1u << 0;

// "Error values": the only ones that may appear on the wire.
enum class WireError : uint32_t {
  kNone = 0,
  kPerm = 1,
  kIo = 5,
  kNoMemory = 12,
  kInvalid = 22,
  kNoSpace = 28,
  kOverflow = 75,
  kNotSupported = 95,
  kShutdown = 108,
};

// "Metadata contexts", base:allocation.
inline constexpr uint32_t kStateHole = 1u << 0;
inline constexpr uint32_t kStateZero = 1u << 1;

struct Request {
  uint16_t flags = 0;
  Command command = Command::kRead;
  uint64_t cookie = 0;
  ByteRange range;                      // not yet checked: end() may wrap
  uint64_t payload_bytes = 0;           // that follow the header; then range.length is the same
  std::chrono::nanoseconds arrived{0};  // when the server has read it, by its loop's clock
};

struct OptionHeader {
  OptionCode code{};
  uint32_t payload_bytes = 0;
};

struct ChunkHeader {
  ChunkType type = ChunkType::kNone;
  uint16_t flags = 0;
  uint64_t cookie = 0;
  uint64_t request_offset = 0;  // extended headers only
  uint32_t payload_bytes = 0;
};

inline constexpr size_t kGreetingBytes = 18;
inline constexpr size_t kClientFlagsBytes = 4;
inline constexpr size_t kOptionHeaderBytes = 16;
inline constexpr size_t kOptionReplyHeaderBytes = 20;
inline constexpr size_t kRequestBytes = 28;
inline constexpr size_t kExtendedRequestBytes = 32;
inline constexpr size_t kSimpleReplyBytes = 16;
inline constexpr size_t kChunkHeaderBytes = 20;
inline constexpr size_t kExtendedChunkHeaderBytes = 32;
inline constexpr size_t kExportNameZeroes = 124;  // after the reply to EXPORT_NAME

// Each writes exactly the constant above to the front of `to`, which must be large enough.
void EncodeGreeting(Bytes to, uint16_t handshake_flags);
void EncodeOptionReplyHeader(Bytes to, OptionCode option, OptionReply type, uint32_t payload_bytes);
void EncodeSimpleReply(Bytes to, uint64_t cookie, WireError error);
void EncodeChunkHeader(Bytes to, const ChunkHeader& header);
void EncodeExtendedChunkHeader(Bytes to, const ChunkHeader& header);
// What a client sends: for our own test clients.
void EncodeOptionHeader(Bytes to, OptionCode option, uint32_t payload_bytes);
void EncodeRequest(Bytes to, const Request& request);
void EncodeExtendedRequest(Bytes to, const Request& request);

// `from` holds at least the constant above; nothing when the magic number is wrong.
std::optional<OptionHeader> DecodeOptionHeader(ConstBytes from);
std::optional<Request> DecodeRequest(ConstBytes from);
std::optional<Request> DecodeExtendedRequest(ConstBytes from);

// For people; "unknown" for values that have no name.
std::string_view CommandName(Command command) noexcept;

}  // namespace mica::nbd
