// SPDX-License-Identifier: Apache-2.0
#include "engine/chunk_cache.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "engine/async/epoll_loop.h"
#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/prng.h"
#include "engine/chunk_codec.h"
#include "engine/compressed_read.h"
#include "engine/digest.h"
#include "tests/support/toy_layer.h"

namespace mica {
namespace {

using testing::ToyLayer;
using testing::TurnFile;
using Data = std::vector<std::byte>;

constexpr size_t kChunk = 32768;

Data Compressible(uint64_t seed, size_t bytes) {
  Prng prng(seed);
  Data data(bytes);
  for (std::byte& byte : data) byte = static_cast<std::byte>('a' + prng.Below(4));
  return data;
}

// A file of frames, one behind the other.
struct Frames {
  explicit Frames(size_t count) {
    ChunkCompressor compressor(3);
    for (size_t i = 0; i < count; ++i) {
      const Data content = Compressible(i, kChunk);
      Data frame(kChunk);
      frame.resize(compressor.Compress(content, frame).value());
      CompressedChunk chunk;
      chunk.host_offset = bytes.size();
      chunk.stored_bytes = static_cast<uint32_t>(frame.size());
      chunk.content_bytes = kChunk;
      chunk.digest = DigestBlock(frame);
      chunks.push_back(chunk);
      bytes.insert(bytes.end(), frame.begin(), frame.end());
    }
  }
  Data bytes;
  std::vector<CompressedChunk> chunks;
};

ChunkKey KeyOf(const CompressedChunk& chunk) {
  ChunkKey key;
  key.content[0] = 7;
  key.host_offset = chunk.host_offset;
  return key;
}

TEST(ChunkCodec, RoundTripsAndSaysWhenItDoesNotFit) {
  for (const int level : {kCompressionLevelMin, 3, kCompressionLevelMax}) {
    ChunkCompressor compressor(level);
    for (const size_t bytes : {size_t{1}, size_t{4096}, kChunk, size_t{65536}}) {
      const Data content = Compressible(bytes, bytes);
      Data frame(bytes + 64);
      const std::optional<size_t> used = compressor.Compress(content, frame);
      ASSERT_TRUE(used);
      Data again(bytes);
      ASSERT_TRUE(DecompressChunk(ConstBytes(frame).first(*used), again));
      EXPECT_EQ(again, content);
      EXPECT_FALSE(compressor.Compress(content, Bytes(frame).first(*used - 1)));
      Data longer(bytes + 1);
      EXPECT_FALSE(DecompressChunk(ConstBytes(frame).first(*used), longer));
      EXPECT_FALSE(DecompressChunk(ConstBytes(frame).first(*used), Bytes(again).first(bytes - 1)));
      EXPECT_FALSE(DecompressChunk(ConstBytes(frame).first(*used - 1), again));
    }
  }
}

TEST(ChunkCache, ConcurrentMissesOfOneChunkReadItOnce) {
  MemoryLoop loop;
  ChunkCache cache(1 << 20);
  const Frames frames(2);
  TurnFile file(loop);
  file.bytes = frames.bytes;
  std::vector<ChunkCache::Content> contents(20);
  struct Body {
    static Async<void> Run(ChunkCache& cache, EventLoop& loop, BlockFile& file,
                           CompressedChunk chunk, ChunkCache::Content& content) {
      CO_ASSIGN(content, co_await cache.Get(loop, file, KeyOf(chunk), chunk));
      co_return Result<void>();
    }
  };
  std::vector<Async<void>> tasks;
  for (size_t i = 0; i < contents.size(); ++i) {
    tasks.push_back(Body::Run(cache, loop, file, frames.chunks[i % 2], contents[i]));
  }
  ASSERT_TRUE(SyncWait(loop, WhenAll(loop, std::move(tasks))));
  EXPECT_EQ(cache.counters().misses, 2u);
  EXPECT_EQ(cache.counters().hits, 18u);
  for (size_t i = 0; i < contents.size(); ++i) {
    EXPECT_THAT(contents[i]->span(), ::testing::ElementsAreArray(Compressible(i % 2, kChunk)));
    EXPECT_EQ(contents[i], contents[i % 2]);
  }
}

TEST(ChunkCache, KeepsNoMoreThanItMay) {
  MemoryLoop loop;
  ChunkCache cache(4 * kChunk);
  const Frames frames(10);
  TurnFile file(loop);
  file.bytes = frames.bytes;
  const auto get = [&](size_t i) {
    const CompressedChunk& chunk = frames.chunks[i];
    return SyncWait(loop, cache.Get(loop, file, KeyOf(chunk), chunk)).value();
  };
  for (size_t i = 0; i < 10; ++i) {
    get(0);  // asked for again and again, so it stays
    get(i);
    EXPECT_LE(cache.counters().bytes, 4 * kChunk);
  }
  EXPECT_EQ(cache.counters().misses, 10u);
  get(1);
  EXPECT_EQ(cache.counters().misses, 11u);
  const ChunkCache::Content held = get(1);
  cache.SetBytesMax(0);
  EXPECT_EQ(cache.counters().bytes, 0u);
  EXPECT_EQ(held->size(), kChunk);
  get(1);
  EXPECT_EQ(cache.counters().misses, 12u);
}

TEST(ChunkCache, AFailureIsNotKeptAndTheNextOneTriesItself) {
  MemoryLoop loop;
  ChunkCache cache(1 << 20);
  const Frames frames(1);
  TurnFile damaged(loop), whole(loop);
  damaged.bytes = whole.bytes = frames.bytes;
  damaged.bytes[100] ^= std::byte{1};
  struct Body {
    static Async<void> Run(ChunkCache& cache, EventLoop& loop, BlockFile& file,
                           CompressedChunk chunk, std::string& outcome) {
      const auto got = co_await cache.Get(loop, file, KeyOf(chunk), chunk);
      outcome = got ? "content" : got.error().message;
      co_return Result<void>();
    }
  };
  std::vector<std::string> outcomes(3);
  std::vector<Async<void>> tasks;
  tasks.push_back(Body::Run(cache, loop, damaged, frames.chunks[0], outcomes[0]));
  tasks.push_back(Body::Run(cache, loop, whole, frames.chunks[0], outcomes[1]));
  tasks.push_back(Body::Run(cache, loop, damaged, frames.chunks[0], outcomes[2]));
  ASSERT_TRUE(SyncWait(loop, WhenAll(loop, std::move(tasks))));
  EXPECT_THAT(outcomes,
              ::testing::ElementsAre("does not match its checksum", "content", "content"));
}

TEST(ChunkCache, SeveralLoopsShareIt) {
  ChunkCache cache(64 << 20);
  const Frames frames(60);
  std::atomic<size_t> wrong{0};
  struct Body {
    static Async<void> Run(ChunkCache& cache, EventLoop& loop, BlockFile& file,
                           const Frames& frames, size_t i, std::atomic<size_t>& wrong) {
      const CompressedChunk chunk = frames.chunks[i];
      const auto got = co_await cache.Get(loop, file, KeyOf(chunk), chunk);
      const Data expected = Compressible(i, kChunk);
      if (!got || !std::ranges::equal((*got)->span(), expected)) ++wrong;
      co_return Result<void>();
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const auto loop = EpollLoop::Create().value();
      TurnFile file(*loop);
      file.bytes = frames.bytes;
      std::vector<Async<void>> tasks;
      for (size_t i = 0; i < 4 * frames.chunks.size(); ++i) {
        const size_t which = i * 7 % frames.chunks.size();
        tasks.push_back(Body::Run(cache, *loop, file, frames, which, wrong));
      }
      if (!SyncWait(*loop, WhenAll(*loop, std::move(tasks)))) ++wrong;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(cache.counters().misses, frames.chunks.size());
}

// Through ImageChain's way: verified against the map's digests, whatever the cache has.
class CompressedReadTest : public ::testing::Test {
 protected:
  CompressedReadTest() : layer_(loop_, kChunk, false) {
    static uint8_t tests = 0;
    mapping_.content[5] = ++tests;  // the cache is the process's
    const Frames frames(1);
    layer_.file.bytes = frames.bytes;
    mapping_.chunks = frames.chunks;
    const Data content = Compressible(0, kChunk);
    for (size_t at = 0; at < kChunk; at += 4096) {
      mapping_.digests.push_back(DigestBlock(ConstBytes(content).subspan(at, 4096)));
    }
    extent_.guest = ByteRange{40960, 8192};
    extent_.kind = ExtentKind::kCompressed;
    extent_.chunk_offset = 4096;
    extent_.first_digest = 1;
  }
  Result<void> Read(Bytes out) {
    return SyncWait(loop_, ReadCompressed(loop_, layer_, mapping_, extent_, out));
  }
  MemoryLoop loop_;
  ToyLayer layer_;
  Mapping mapping_;
  Extent extent_;
};

TEST_F(CompressedReadTest, GivesThePartThatWasAskedFor) {
  Data out(8192);
  ASSERT_TRUE(Read(out));
  const Data content = Compressible(0, kChunk);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), content.begin() + 4096));
}

TEST_F(CompressedReadTest, NamesGuestAndFileOffsetOfDamage) {
  Data out(8192);
  mapping_.digests[2] ^= 1;
  const Result<void> wrong_content = Read(out);
  ASSERT_FALSE(wrong_content);
  EXPECT_EQ(wrong_content.error().code, Errc::kCorrupt);
  EXPECT_THAT(wrong_content.error().message, ::testing::HasSubstr("guest offset 45056"));
  mapping_.content[6] = 1;
  layer_.file.bytes[17] ^= std::byte{4};
  const Result<void> damaged = Read(out);
  ASSERT_FALSE(damaged);
  EXPECT_THAT(damaged.error().message, ::testing::HasSubstr("file offset 0"));
  EXPECT_THAT(damaged.error().message, ::testing::HasSubstr("guest offset 40960"));
}

TEST_F(CompressedReadTest, AShortChunkIsAnError) {
  Data out(8192);
  extent_.chunk_offset = kChunk - 4096;
  const Result<void> read = Read(out);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace mica
