// SPDX-License-Identifier: Apache-2.0
// What each command does to the device. CheckRequest has let the request through.
#include <algorithm>
#include <utility>

#include "nbd/transmission.h"

namespace mica::nbd {

namespace {

Durability DurabilityOf(const Request& request) noexcept {
  return (request.flags & kCommandFua) != 0 ? Durability::kForced : Durability::kVolatile;
}

}  // namespace

Task<void> Transmission::ServeRead(Request request) {
  PooledBuffer data = server_.buffers.Get(request.range.length);
  if (!request.range.empty()) {
    const Result<void> read =
        co_await device_.Read(request.range.offset, data.first(request.range.length));
    if (!read) {
      Fail(request, read.error());
      co_return;
    }
  }
  --executing_;
  StatsOf(request).bytes.Add(request.range.length);
  AppendData(agreement_.replies, request, std::move(data), sender_.queue());
  Commit(request);
}

Task<void> Transmission::ServeWrite(Request request, PooledBuffer data) {
  const ConstBytes payload = data.first(request.range.length);
  const Result<void> written =
      co_await device_.Write(request.range.offset, payload, DurabilityOf(request));
  Finish(request, written);
}

Task<void> Transmission::ServeFlush(Request request) {
  const Result<void> flushed = co_await device_.Flush();
  Finish(request, flushed);
}

Task<void> Transmission::ServeTrim(Request request) {
  const Result<void> discarded = co_await device_.Discard(request.range, DurabilityOf(request));
  Finish(request, discarded);
}

Task<void> Transmission::ServeWriteZeroes(Request request) {
  const bool keep = (request.flags & kCommandNoHole) != 0;
  const ZeroHint hint = keep ? ZeroHint::kKeepSpace : ZeroHint::kMayUnmap;
  const Result<void> zeroed =
      co_await device_.WriteZeroes(request.range, hint, DurabilityOf(request));
  Finish(request, zeroed);
}

Task<void> Transmission::ServeCache(Request request) {
  ByteRange range = request.range;
  range.length = std::min(range.length, kCacheBytesMax);  // a hint: a part of it is enough
  const Result<void> read = co_await ReadAhead(range);
  Finish(request, read);
}

// Reading is what warms every cache below, the host's and the chain's.
Async<void> Transmission::ReadAhead(ByteRange range) {
  PooledBuffer scratch = server_.buffers.Get(kCacheStepBytes);
  while (!range.empty()) {
    const uint64_t step = std::min(range.length, kCacheStepBytes);
    CO_TRY(co_await device_.Read(range.offset, scratch.first(step)));
    range = RangeBetween(range.offset + step, range.end());
  }
  co_return Result<void>();
}

Task<void> Transmission::ServeBlockStatus(Request request, StatusQuery query) {
  const ByteRange range{request.range.offset, query.length};
  const bool one = (request.flags & kCommandReqOne) != 0;
  const size_t extents_max = one ? 1 : kStatusExtentsMax / query.contexts.size();
  std::vector<Reply> replies;
  for (const SelectedContext* const selected : query.contexts) {
    Result<std::vector<MetaExtent>> extents =
        co_await selected->context->Describe(range, extents_max);
    if (!extents) {
      Fail(request, extents.error());
      co_return;
    }
    const MetaAnswer answer{.context_id = selected->id, .extents = *std::move(extents)};
    const bool last = selected == query.contexts.back();
    replies.push_back(MakeStatus(agreement_.replies, request, answer,
                                 last ? ChunkPosition::kLast : ChunkPosition::kMoreFollow));
  }
  --executing_;
  for (Reply& reply : replies) sender_.queue().push_back(std::move(reply));
  Commit(request);
}

}  // namespace mica::nbd
