// SPDX-License-Identifier: Apache-2.0
#include "nbd/reply.h"

#include <algorithm>
#include <utility>

namespace mica::nbd {

namespace {

constexpr size_t kOffsetBytes = 8;
constexpr size_t kHolePayloadBytes = 12;
constexpr size_t kErrorPayloadBytes = 6;
constexpr size_t kContextIdBytes = 4;
constexpr size_t kDescriptorBytes = 8;

void StartChunk(Reply& reply, const Request& request, ChunkType type, size_t payload_bytes) {
  const uint16_t flags = reply.ends_request ? kChunkDone : uint16_t{0};
  EncodeChunkHeader(reply.head, {.type = type,
                                 .flags = flags,
                                 .cookie = request.cookie,
                                 .payload_bytes = static_cast<uint32_t>(payload_bytes)});
  reply.head_bytes = kChunkHeaderBytes;
}

Reply MakeDataChunk(const Request& request, uint64_t offset, ConstBytes body, bool last) {
  Reply reply;
  reply.ends_request = last;
  StartChunk(reply, request, ChunkType::kOffsetData, kOffsetBytes + body.size());
  StoreBe(reply.head, kChunkHeaderBytes, offset);
  reply.head_bytes += kOffsetBytes;
  reply.body = body;
  return reply;
}

Reply MakeHoleChunk(const Request& request, uint64_t offset, size_t length, bool last) {
  Reply reply;
  reply.ends_request = last;
  StartChunk(reply, request, ChunkType::kOffsetHole, kHolePayloadBytes);
  StoreBe(reply.head, kChunkHeaderBytes, offset);
  StoreBe(reply.head, kChunkHeaderBytes + kOffsetBytes, static_cast<uint32_t>(length));
  reply.head_bytes += kHolePayloadBytes;
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

Reply MakeSuccess(const Request& request) {
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
  StartChunk(reply, request, ChunkType::kError, kErrorPayloadBytes + text.size());
  StoreBe(reply.head, kChunkHeaderBytes, std::to_underlying(error));
  StoreBe(reply.head, kChunkHeaderBytes + 4, static_cast<uint16_t>(text.size()));
  reply.head_bytes += kErrorPayloadBytes;
  reply.body = AsBytes(text);
  return reply;
}

void AppendData(ReplyStyle style, const Request& request, PooledBuffer data,
                std::vector<Reply>& replies) {
  const ConstBytes bytes = data.first(request.range.length);
  if (style == ReplyStyle::kSimple) {
    replies.push_back(MakeSuccess(request));
    replies.back().body = bytes;
  } else if (bytes.empty()) {
    Reply reply;
    StartChunk(reply, request, ChunkType::kNone, 0);
    replies.push_back(std::move(reply));
  } else if ((request.flags & kCommandDf) != 0 || bytes.size() < kHoleSearchBytesMin) {
    replies.push_back(MakeDataChunk(request, request.range.offset, bytes, true));
  } else {
    for (size_t at = 0; at < bytes.size();) {
      const Run run = NextRun(bytes.subspan(at));
      const uint64_t offset = request.range.offset + at;
      const bool last = at + run.length == bytes.size();
      replies.push_back(run.zero
                            ? MakeHoleChunk(request, offset, run.length, last)
                            : MakeDataChunk(request, offset, bytes.subspan(at, run.length), last));
      at += run.length;
    }
  }
  // Sent in order: when the last message is out, nobody needs the buffer any more.
  replies.back().buffer = std::move(data);
}

Reply MakeStatus(const Request& request, uint32_t context_id, std::span<const MetaExtent> extents,
                 ChunkPosition position) {
  Reply reply;
  reply.ends_request = position == ChunkPosition::kLast;
  reply.owned.resize(extents.size() * kDescriptorBytes);
  size_t at = 0;
  for (const MetaExtent& extent : extents) {
    StoreBe(reply.owned, at, static_cast<uint32_t>(extent.length));
    StoreBe(reply.owned, at + 4, extent.flags);
    at += kDescriptorBytes;
  }
  StartChunk(reply, request, ChunkType::kBlockStatus, kContextIdBytes + reply.owned.size());
  StoreBe(reply.head, kChunkHeaderBytes, context_id);
  reply.head_bytes += kContextIdBytes;
  reply.body = reply.owned;
  return reply;
}

}  // namespace mica::nbd
