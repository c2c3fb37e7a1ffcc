// SPDX-License-Identifier: Apache-2.0
#include "nbd/reply.h"

#include <algorithm>
#include <utility>

namespace mica::nbd {

namespace {

constexpr size_t kOffsetBytes = 8;
constexpr size_t kHolePayloadBytes = 12;
constexpr size_t kErrorPayloadBytes = 6;

// How chunks look in one style, for one request.
struct ChunkFormat {
  ReplyStyle style;
  const Request& request;
};

void StartChunk(const ChunkFormat& format, Reply& reply, ChunkType type, size_t payload_bytes) {
  const ChunkHeader header{.type = type,
                           .flags = reply.ends_request ? kChunkDone : uint16_t{0},
                           .cookie = format.request.cookie,
                           .request_offset = format.request.range.offset,
                           .payload_bytes = static_cast<uint32_t>(payload_bytes)};
  if (format.style == ReplyStyle::kExtended) {
    EncodeExtendedChunkHeader(reply.head, header);
    reply.head_bytes = kExtendedChunkHeaderBytes;
  } else {
    EncodeChunkHeader(reply.head, header);
    reply.head_bytes = kChunkHeaderBytes;
  }
}

template <class T>
void AppendToHead(Reply& reply, T value) {
  StoreBe(reply.head, reply.head_bytes, value);
  reply.head_bytes += sizeof(T);
}

Reply MakeNoneChunk(const ChunkFormat& format) {
  Reply reply;
  StartChunk(format, reply, ChunkType::kNone, 0);
  return reply;
}

Reply MakeDataChunk(const ChunkFormat& format, uint64_t offset, ConstBytes body, bool last) {
  Reply reply;
  reply.ends_request = last;
  StartChunk(format, reply, ChunkType::kOffsetData, kOffsetBytes + body.size());
  AppendToHead(reply, offset);
  reply.body = body;
  return reply;
}

Reply MakeHoleChunk(const ChunkFormat& format, uint64_t offset, size_t length, bool last) {
  Reply reply;
  reply.ends_request = last;
  StartChunk(format, reply, ChunkType::kOffsetHole, kHolePayloadBytes);
  AppendToHead(reply, offset);
  AppendToHead(reply, static_cast<uint32_t>(length));
  return reply;
}

// The longest run from the front that is zero in every step, or not zero in every step.
struct Run {
  size_t length = 0;
  bool zero = false;
};
Run NextRun(ConstBytes data) {
  Run run;
  while (run.length < data.size()) {
    const ConstBytes rest = data.subspan(run.length);
    const ConstBytes step = rest.first(std::min(rest.size(), kHoleStepBytes));
    const bool zero = IsZero(step);
    if (run.length != 0 && zero != run.zero) break;
    run.zero = zero;
    run.length += step.size();
  }
  return run;
}

}  // namespace

Reply MakeSuccess(ReplyStyle style, const Request& request) {
  if (style == ReplyStyle::kExtended) return MakeNoneChunk({style, request});
  Reply reply;
  EncodeSimpleReply(reply.head, request.cookie, WireError::kNone);
  reply.head_bytes = kSimpleReplyBytes;
  return reply;
}

Reply MakeFailure(ReplyStyle style, const Request& request, WireError error,
                  std::string_view text) {
  Reply reply;
  if (style == ReplyStyle::kSimple) {
    EncodeSimpleReply(reply.head, request.cookie, error);
    reply.head_bytes = kSimpleReplyBytes;
    return reply;
  }
  text = text.substr(0, kStringBytesMax);
  StartChunk({style, request}, reply, ChunkType::kError, kErrorPayloadBytes + text.size());
  AppendToHead(reply, std::to_underlying(error));
  AppendToHead(reply, static_cast<uint16_t>(text.size()));
  reply.body = AsBytes(text);
  return reply;
}

void AppendData(ReplyStyle style, const Request& request, PooledBuffer data,
                std::vector<Reply>& replies) {
  const ConstBytes bytes = data.first(request.range.length);
  const ChunkFormat format{style, request};
  if (style == ReplyStyle::kSimple) {
    replies.push_back(MakeSuccess(style, request));
    replies.back().body = bytes;
  } else if (bytes.empty()) {
    replies.push_back(MakeNoneChunk(format));
  } else if ((request.flags & kCommandDf) != 0 || bytes.size() < kHoleSearchBytesMin) {
    replies.push_back(MakeDataChunk(format, request.range.offset, bytes, true));
  } else {
    for (size_t at = 0; at < bytes.size();) {
      const Run run = NextRun(bytes.subspan(at));
      const uint64_t offset = request.range.offset + at;
      const bool last = at + run.length == bytes.size();
      replies.push_back(run.zero
                            ? MakeHoleChunk(format, offset, run.length, last)
                            : MakeDataChunk(format, offset, bytes.subspan(at, run.length), last));
      at += run.length;
    }
  }
  // Sent in order: when the last message is out, nobody needs the buffer any more.
  replies.back().buffer = std::move(data);
}

namespace {

// The descriptors of a status chunk, as `Number` wide as the style has them.
template <class Number>
std::vector<std::byte> Descriptors(std::span<const MetaExtent> extents) {
  std::vector<std::byte> bytes(extents.size() * 2 * sizeof(Number));
  size_t at = 0;
  for (const MetaExtent& extent : extents) {
    StoreBe(bytes, at, static_cast<Number>(extent.length));
    StoreBe(bytes, at + sizeof(Number), static_cast<Number>(extent.flags));
    at += 2 * sizeof(Number);
  }
  return bytes;
}

}  // namespace

Reply MakeStatus(ReplyStyle style, const Request& request, const MetaAnswer& answer,
                 ChunkPosition position) {
  Reply reply;
  reply.ends_request = position == ChunkPosition::kLast;
  const ChunkFormat format{style, request};
  if (style == ReplyStyle::kExtended) {
    reply.owned = Descriptors<uint64_t>(answer.extents);
    const size_t payload_bytes = 2 * sizeof(uint32_t) + reply.owned.size();
    StartChunk(format, reply, ChunkType::kBlockStatusExtended, payload_bytes);
    AppendToHead(reply, answer.context_id);
    AppendToHead(reply, static_cast<uint32_t>(answer.extents.size()));
  } else {
    reply.owned = Descriptors<uint32_t>(answer.extents);
    StartChunk(format, reply, ChunkType::kBlockStatus, sizeof(uint32_t) + reply.owned.size());
    AppendToHead(reply, answer.context_id);
  }
  reply.body = reply.owned;
  return reply;
}

}  // namespace mica::nbd
