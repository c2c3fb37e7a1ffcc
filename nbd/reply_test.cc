// SPDX-License-Identifier: Apache-2.0
#include "nbd/reply.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "nbd/testing/transcript.h"

namespace mica::nbd {
namespace {

std::vector<std::byte> Joined(const std::vector<Reply>& replies) {
  std::vector<std::byte> bytes;
  for (const Reply& reply : replies) {
    bytes.insert(bytes.end(), reply.head.begin(),
                 reply.head.begin() + static_cast<std::ptrdiff_t>(reply.head_bytes));
    bytes.insert(bytes.end(), reply.body.begin(), reply.body.end());
  }
  return bytes;
}

class ReadReply : public testing::Test {
 protected:
  // The answer to a read of `length` bytes that are 'x' in [from, to) and zero elsewhere.
  std::vector<ReceivedReply> Chunks(size_t length, size_t from, size_t to, uint16_t flags = 0) {
    PooledBuffer data = pool_.Get(length);
    FillZero(data.first(length));
    std::memset(data.first(length).data() + from, 'x', to - from);
    const Request request{.flags = flags, .cookie = 7, .range = {1000, length}};
    std::vector<Reply> replies;
    AppendData(style_, request, std::move(data), replies);
    ServerScript script(Joined(replies));
    std::vector<ReceivedReply> chunks;
    while (auto chunk = script.NextReply()) chunks.push_back(*std::move(chunk));
    EXPECT_TRUE(script.empty());
    return chunks;
  }
  BufferPool pool_{1u << 20};
  ReplyStyle style_ = ReplyStyle::kStructured;
};

TEST_F(ReadReply, SmallReadsAreOneChunk) {
  const auto chunks = Chunks(4096, 0, 0);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].type, ChunkType::kOffsetData);
  EXPECT_TRUE(chunks[0].done);
  EXPECT_EQ(chunks[0].cookie, 7u);
  EXPECT_EQ(LoadBe<uint64_t>(chunks[0].payload, 0), 1000u);
  EXPECT_EQ(chunks[0].payload.size(), 8u + 4096);
}

TEST_F(ReadReply, LargeZeroesAreAHole) {
  const auto chunks = Chunks(1u << 20, 0, 0);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].type, ChunkType::kOffsetHole);
  EXPECT_EQ(LoadBe<uint64_t>(chunks[0].payload, 0), 1000u);
  EXPECT_EQ(LoadBe<uint32_t>(chunks[0].payload, 8), 1u << 20);
}

TEST_F(ReadReply, HolesAndDataCoverTheRangeExactly) {
  constexpr size_t kLength = 300'001;
  const auto chunks = Chunks(kLength, 140'000, 150'000);
  ASSERT_EQ(chunks.size(), 3u);
  uint64_t at = 1000;
  for (size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i].done, i == 2);
    EXPECT_EQ(LoadBe<uint64_t>(chunks[i].payload, 0), at);
    at += chunks[i].type == ChunkType::kOffsetHole ? LoadBe<uint32_t>(chunks[i].payload, 8)
                                                   : chunks[i].payload.size() - 8;
  }
  EXPECT_EQ(chunks[1].type, ChunkType::kOffsetData);
  EXPECT_EQ(at, 1000 + kLength);
}

TEST_F(ReadReply, ExtendedChunksAllHaveTheRequestsOffset) {
  style_ = ReplyStyle::kExtended;
  const auto chunks = Chunks(300'001, 140'000, 150'000);
  ASSERT_EQ(chunks.size(), 3u);
  for (const ReceivedReply& chunk : chunks) {
    EXPECT_TRUE(chunk.extended);
    EXPECT_EQ(chunk.request_offset, 1000u);
  }
  EXPECT_EQ(chunks[0].type, ChunkType::kOffsetHole);
}

TEST_F(ReadReply, DfIsNeverFragmented) {
  const auto chunks = Chunks(1u << 20, 500'000, 500'001, kCommandDf);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].type, ChunkType::kOffsetData);
}

TEST_F(ReadReply, AnEmptyReadSucceeds) {
  const auto chunks = Chunks(0, 0, 0);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].type, ChunkType::kNone);
  EXPECT_TRUE(chunks[0].done);
}

TEST(Reply, ErrorTextsAreCut) {
  static const std::string endless(100'000, 'e');
  std::vector<Reply> replies;
  replies.push_back(
      MakeFailure(ReplyStyle::kStructured, Request{.cookie = 9}, WireError::kIo, endless));
  ServerScript script(Joined(replies));
  const auto chunk = script.NextReply();
  ASSERT_TRUE(chunk);
  EXPECT_EQ(chunk->type, ChunkType::kError);
  EXPECT_EQ(chunk->error, WireError::kIo);
  EXPECT_EQ(chunk->payload.size(), 6u + kStringBytesMax);
}

}  // namespace
}  // namespace mica::nbd
