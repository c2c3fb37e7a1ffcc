// SPDX-License-Identifier: Apache-2.0
#include "nbd/testing/transcript.h"

#include <array>
#include <utility>

namespace mica::nbd {

ClientScript& ClientScript::Raw(ConstBytes bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

ClientScript& ClientScript::OptionHeader(uint32_t code, uint32_t payload_bytes) {
  std::array<std::byte, kOptionHeaderBytes> header;
  EncodeOptionHeader(header, OptionCode{code}, payload_bytes);
  return Raw(header);
}

ClientScript& ClientScript::Option(OptionCode code, ConstBytes payload) {
  OptionHeader(std::to_underlying(code), static_cast<uint32_t>(payload.size()));
  return Raw(payload);
}

ClientScript& ClientScript::Info(OptionCode code, std::string_view name,
                                 std::initializer_list<InfoType> infos) {
  ClientScript payload;
  payload.Number(static_cast<uint32_t>(name.size())).Raw(AsBytes(name));
  payload.Number(static_cast<uint16_t>(infos.size()));
  for (const InfoType info : infos) payload.Number(std::to_underlying(info));
  return Option(code, payload.bytes());
}

ClientScript& ClientScript::MetaContext(OptionCode code, std::string_view name,
                                        std::initializer_list<std::string_view> queries) {
  ClientScript payload;
  payload.Number(static_cast<uint32_t>(name.size())).Raw(AsBytes(name));
  payload.Number(static_cast<uint32_t>(queries.size()));
  for (const std::string_view query : queries) {
    payload.Number(static_cast<uint32_t>(query.size())).Raw(AsBytes(query));
  }
  return Option(code, payload.bytes());
}

ClientScript& ClientScript::GoInStyle(ReplyStyle style, std::string_view name) {
  Flags();
  if (style == ReplyStyle::kSimple) return Go(name);
  const bool extended = style == ReplyStyle::kExtended;
  Option(extended ? OptionCode::kExtendedHeaders : OptionCode::kStructuredReply);
  if (extended) UseExtendedHeaders();
  MetaContext(OptionCode::kSetMetaContext, name, {"base:allocation"});
  return Go(name);
}

ClientScript& ClientScript::Request(const nbd::Request& request) {
  if (extended_) {
    std::array<std::byte, kExtendedRequestBytes> header;
    nbd::Request adjusted = request;
    if (request.command == Command::kWrite) adjusted.flags |= kCommandPayloadLen;
    EncodeExtendedRequest(header, adjusted);
    return Raw(header);
  }
  std::array<std::byte, kRequestBytes> header;
  EncodeRequest(header, request);
  return Raw(header);
}

ClientScript& ClientScript::Write(uint64_t cookie, uint64_t offset, ConstBytes payload,
                                  uint16_t flags) {
  Request({.flags = flags,
           .command = Command::kWrite,
           .cookie = cookie,
           .range = {offset, payload.size()}});
  return Raw(payload);
}

std::optional<std::vector<std::byte>> ServerScript::Take(size_t count) {
  if (rest().size() < count) return std::nullopt;
  const ConstBytes taken = rest().first(count);
  at_ += count;
  return std::vector(taken.begin(), taken.end());
}

bool ServerScript::Greeting() {
  const auto bytes = Take(kGreetingBytes);
  return bytes && LoadBe<uint64_t>(*bytes, 0) == kInitMagic &&
         LoadBe<uint64_t>(*bytes, 8) == kOptionMagic &&
         LoadBe<uint16_t>(*bytes, 16) == (kFlagFixedNewstyle | kFlagNoZeroes);
}

std::optional<ReceivedOptionReply> ServerScript::NextOptionReply() {
  if (rest().size() < kOptionReplyHeaderBytes) return std::nullopt;
  if (LoadBe<uint64_t>(rest(), 0) != kOptionReplyMagic) return std::nullopt;
  ReceivedOptionReply reply;
  reply.option = OptionCode{LoadBe<uint32_t>(rest(), 8)};
  reply.type = OptionReply{LoadBe<uint32_t>(rest(), 12)};
  const uint32_t length = LoadBe<uint32_t>(rest(), 16);
  at_ += kOptionReplyHeaderBytes;
  auto payload = Take(length);
  if (!payload) return std::nullopt;
  reply.payload = *std::move(payload);
  return reply;
}

std::optional<ReceivedReply> ServerScript::NextReply(size_t data_bytes) {
  if (rest().size() < kSimpleReplyBytes) return std::nullopt;
  ReceivedReply reply;
  const uint32_t magic = LoadBe<uint32_t>(rest(), 0);
  reply.cookie = LoadBe<uint64_t>(rest(), 8);
  size_t payload_bytes = data_bytes;
  if (magic == kSimpleReplyMagic) {
    reply.error = WireError{LoadBe<uint32_t>(rest(), 4)};
    if (reply.error != WireError::kNone) payload_bytes = 0;
    at_ += kSimpleReplyBytes;
  } else if (magic == kStructuredReplyMagic && rest().size() >= kChunkHeaderBytes) {
    reply.structured = true;
    reply.done = (LoadBe<uint16_t>(rest(), 4) & kChunkDone) != 0;
    reply.type = ChunkType{LoadBe<uint16_t>(rest(), 6)};
    payload_bytes = LoadBe<uint32_t>(rest(), 16);
    at_ += kChunkHeaderBytes;
  } else if (magic == kExtendedReplyMagic && rest().size() >= kExtendedChunkHeaderBytes) {
    reply.structured = reply.extended = true;
    reply.done = (LoadBe<uint16_t>(rest(), 4) & kChunkDone) != 0;
    reply.type = ChunkType{LoadBe<uint16_t>(rest(), 6)};
    reply.request_offset = LoadBe<uint64_t>(rest(), 16);
    payload_bytes = LoadBe<uint64_t>(rest(), 24);
    at_ += kExtendedChunkHeaderBytes;
  } else {
    return std::nullopt;
  }
  auto payload = Take(payload_bytes);
  if (!payload) return std::nullopt;
  reply.payload = *std::move(payload);
  if (reply.type == ChunkType::kError) reply.error = WireError{LoadBe<uint32_t>(reply.payload, 0)};
  return reply;
}

}  // namespace mica::nbd
