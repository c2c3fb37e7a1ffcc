// SPDX-License-Identifier: Apache-2.0
#include "engine/chunk_cache.h"

#include <fmt/core.h>

#include "engine/chunk_codec.h"
#include "engine/digest.h"

namespace mica {

namespace {

// What a kept chunk costs beside its content.
constexpr size_t kOverheadBytes = 256;

Async<ChunkCache::Content> ReadChunk(BlockFile& file, CompressedChunk chunk) {
  AlignedBuffer frame(chunk.stored_bytes);
  CO_TRY(co_await file.Read(chunk.host_offset, frame.span()));
  if (DigestBlock(frame.span()) != chunk.digest) {
    co_return Error{Errc::kCorrupt, "does not match its checksum"};
  }
  auto content = std::make_shared<AlignedBuffer>(chunk.content_bytes);
  CO_TRY(DecompressChunk(frame.span(), content->span()));
  ChunkCache::Content shared = std::move(content);
  co_return shared;
}

}  // namespace

size_t ChunkCache::KeyHash::operator()(const ChunkKey& key) const noexcept {
  const uint64_t name = LoadNative<uint64_t>(std::as_bytes(std::span(key.content)), 0);
  return name ^ (key.host_offset * 0x9e3779b97f4a7c15);
}

// Awaited once by whoever comes for a chunk. It has the content afterwards, or, when nobody is at
// it, the duty to get it; neither when the one that had the duty has failed.
class ChunkCache::Arrival {
 public:
  Arrival(ChunkCache& cache, EventLoop& loop, const ChunkKey& key)
      : cache_(cache), loop_(loop), key_(key) {}

  bool await_ready() noexcept { return false; }
  // Everything under one lock: between a look and the queueing, the content could come.
  bool await_suspend(std::coroutine_handle<> handle) {
    const std::lock_guard lock(cache_.mutex_);
    if (const Content* const found = cache_.ready_.Find(key_)) {
      content = *found;
      ++cache_.hits_;
      return false;
    }
    const auto [entry, is_first] = cache_.being_read_.try_emplace(key_);
    if (is_first) {
      has_duty = true;
      ++cache_.misses_;
      return false;
    }
    entry->second.push_back(Waiter{&loop_, handle, &content});
    ++cache_.hits_;
    return true;
  }
  void await_resume() noexcept {}

  Content content;
  bool has_duty = false;

 private:
  ChunkCache& cache_;
  EventLoop& loop_;
  const ChunkKey& key_;
};

// Whoever has the duty wakes the others, whatever comes between.
class ChunkCache::Duty {
 public:
  Duty(ChunkCache& cache, EventLoop& loop, const ChunkKey& key)
      : cache_(cache), loop_(loop), key_(key) {}
  Duty(const Duty&) = delete;
  Duty& operator=(const Duty&) = delete;
  ~Duty() { cache_.Finish(key_, loop_, content); }

  Content content;  // empty: failed

 private:
  ChunkCache& cache_;
  EventLoop& loop_;
  const ChunkKey& key_;
};

ChunkCache::~ChunkCache() {
  MICA_CHECK(being_read_.empty());
}

ChunkCache& ChunkCache::OfProcess() {
  static ChunkCache cache(kBytesMaxDefault);
  return cache;
}

void ChunkCache::SetBytesMax(size_t bytes_max) {
  const std::lock_guard lock(mutex_);
  ready_.SetCostMax(bytes_max);
}

ChunkCache::Counters ChunkCache::counters() const {
  const std::lock_guard lock(mutex_);
  Counters counters;
  counters.hits = hits_;
  counters.misses = misses_;
  counters.bytes = ready_.cost();
  return counters;
}

void ChunkCache::Finish(const ChunkKey& key, EventLoop& loop, const Content& content) {
  std::vector<Waiter> waiters;
  {
    const std::lock_guard lock(mutex_);
    auto node = being_read_.extract(key);
    waiters = std::move(node.mapped());
    if (content != nullptr) ready_.Insert(key, content, content->size() + kOverheadBytes);
  }
  for (const Waiter& waiter : waiters) {
    *waiter.result = content;
    if (waiter.loop == &loop) {
      loop.Post(waiter.handle);
    } else {
      waiter.loop->PostFromAnyThread(
          [other = waiter.loop, handle = waiter.handle] { other->Post(handle); });
    }
  }
}

Async<ChunkCache::Content> ChunkCache::Get(EventLoop& loop, BlockFile& file, ChunkKey key,
                                           CompressedChunk chunk) {
  while (true) {
    Arrival arrival(*this, loop, key);
    co_await arrival;
    if (arrival.content != nullptr) co_return arrival.content;
    if (!arrival.has_duty) continue;
    Duty duty(*this, loop, key);
    CO_ASSIGN(duty.content, co_await ReadChunk(file, chunk));
    co_return duty.content;
  }
}

}  // namespace mica
