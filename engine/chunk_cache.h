// SPDX-License-Identifier: Apache-2.0
// ChunkCache: decompressed chunks, shared by all chains of the process, so that disks on one
// compressed master decompress what they have in common once.
//
// Concurrency: every member may be called from any thread at any time; the caller's event loop is
// the one that runs it. Of concurrent misses of one chunk, on whichever loops, one reads and
// decompresses (on its own loop's thread) and the others wait for it; when it fails, the next one
// tries with its own file. What is returned never changes and lives as long as somebody holds it.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/lru_map.h"
#include "engine/extent.h"
#include "engine/io/block_file.h"
#include "engine/layer.h"

namespace mica {

// What a chunk is, wherever its file lies.
struct ChunkKey {
  ContentName content{};
  uint64_t host_offset = 0;
  friend bool operator==(const ChunkKey&, const ChunkKey&) = default;
};

class ChunkCache {
 public:
  static constexpr size_t kBytesMaxDefault = size_t{64} << 20;

  // Keeps at most `bytes_max` bytes of content; chunks being read come on top of that.
  explicit ChunkCache(size_t bytes_max) : ready_(bytes_max) {}
  ChunkCache(const ChunkCache&) = delete;
  ChunkCache& operator=(const ChunkCache&) = delete;
  ~ChunkCache();

  // The one that chains use.
  static ChunkCache& OfProcess();

  void SetBytesMax(size_t bytes_max);

  using Content = std::shared_ptr<const AlignedBuffer>;

  // The content of `chunk`, which is `key` and lies in `file`. Host errors of the read; kCorrupt
  // when the frame does not match its checksum or is not what it should be. Errors name no file.
  // `loop` is the caller's, and `file` belongs to it.
  Async<Content> Get(EventLoop& loop, BlockFile& file, ChunkKey key, CompressedChunk chunk);

  struct Counters {
    uint64_t hits = 0;    // found, or somebody was at it already
    uint64_t misses = 0;  // read and decompressed
    size_t bytes = 0;     // kept now
  };
  [[nodiscard]] Counters counters() const;

 private:
  struct KeyHash {
    size_t operator()(const ChunkKey& key) const noexcept;
  };
  struct Waiter {
    EventLoop* loop;
    std::coroutine_handle<> handle;
    Content* result;
  };
  class Arrival;
  class Duty;

  void Finish(const ChunkKey& key, EventLoop& loop, const Content& content);

  mutable std::mutex mutex_;  // guards everything
  LruMap<ChunkKey, Content, KeyHash> ready_;
  std::unordered_map<ChunkKey, std::vector<Waiter>, KeyHash> being_read_;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
};

}  // namespace mica
