// SPDX-License-Identifier: Apache-2.0
#include "nbd/meta_context.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "engine/async/sync_wait.h"
#include "nbd/testing/conversation.h"
#include "nbd/testing/memory_bitmaps.h"

namespace mica::nbd {
namespace {

OptionReply TypeOf(const std::optional<ReceivedOptionReply>& reply) {
  return reply ? reply->type : OptionReply{};
}

class MetaContexts : public testing::Test {
 protected:
  MetaContexts() {
    bitmaps_.dirty["since:monday"] = {{4096, 8192}, {1u << 20, 4096}};
    bitmaps_.dirty["parent"] = {{0, 4096}};
    Export added("changing", talk_.device);
    added.bitmaps = &bitmaps_;
    EXPECT_TRUE(talk_.exports.Add(added));
  }
  // The names LIST_META_CONTEXT answers to `query` (none: all).
  std::vector<std::string> Listed(std::initializer_list<std::string_view> queries) {
    ServerScript answer = talk_.Answers(
        ClientScript().Flags().MetaContext(OptionCode::kListMetaContext, "changing", queries));
    EXPECT_TRUE(answer.Greeting());
    std::vector<std::string> names;
    for (;;) {
      const auto reply = answer.NextOptionReply();
      if (TypeOf(reply) != OptionReply::kMetaContext) break;
      names.emplace_back(AsText(reply->payload).substr(4));
    }
    return names;
  }
  // What a BLOCK_STATUS for all of the first 2 MiB answers, after `queries` were selected.
  std::vector<ReceivedReply> Status(ReplyStyle style,
                                    std::initializer_list<std::string_view> queries,
                                    const ClientScript& payload = {}) {
    ClientScript script;
    script.Flags();
    const bool extended = style == ReplyStyle::kExtended;
    script.Option(extended ? OptionCode::kExtendedHeaders : OptionCode::kStructuredReply);
    if (extended) script.UseExtendedHeaders();
    script.MetaContext(OptionCode::kSetMetaContext, "changing", queries).Go("changing");
    const size_t payload_bytes = payload.bytes().size();
    Request request{.command = Command::kBlockStatus, .cookie = 9, .range = {0, 2u << 20}};
    if (payload_bytes != 0) {
      request.flags = kCommandPayloadLen;
      request.range.length = payload_bytes;
    }
    script.Request(request).Raw(payload.bytes());
    ServerScript answer = talk_.Answers(script.Disconnect(), 100);
    EXPECT_TRUE(answer.Greeting());
    while (answer.NextOptionReply()) continue;
    std::vector<ReceivedReply> replies;
    while (auto reply = answer.NextReply()) replies.push_back(*std::move(reply));
    EXPECT_TRUE(answer.empty());
    return replies;
  }

  Conversation talk_;
  MemoryBitmaps bitmaps_;
};

TEST_F(MetaContexts, WildcardsAreForListsOnly) {
  const MetaContextList contexts = ContextsOf(*talk_.exports.Find("disk"));
  ASSERT_EQ(contexts.size(), 2u);
  const MetaContext& allocation = *contexts[0];
  EXPECT_TRUE(Matches(allocation, "base:allocation", QueryKind::kSelect));
  EXPECT_TRUE(Matches(allocation, "base:", QueryKind::kList));
  EXPECT_FALSE(Matches(allocation, "base:", QueryKind::kSelect));
  for (const char* const other : {"", "base", "qemu:", "base:alloc", "base:allocation2"}) {
    EXPECT_FALSE(Matches(allocation, other, QueryKind::kList)) << other;
  }
}

TEST_F(MetaContexts, ListsWhatAQueryAsksFor) {
  const std::vector<std::string> bitmaps = {"qemu:dirty-bitmap:parent",
                                            "qemu:dirty-bitmap:since:monday"};
  EXPECT_EQ(Listed({}).size(), 4u);
  EXPECT_EQ(Listed({"base:"}), std::vector<std::string>{"base:allocation"});
  EXPECT_EQ(Listed({"qemu:"}).size(), 3u);
  EXPECT_EQ(Listed({"qemu:dirty-bitmap:"}), bitmaps);
  EXPECT_EQ(Listed({"qemu:dirty-bitmap:parent"}).size(), 1u);
  EXPECT_TRUE(Listed({"qemu:dirty-bitmap", "qemu:dirty-bitmap:none", "x-other:"}).empty());
}

TEST_F(MetaContexts, SeveralAtOnceAreDescribedEachInItsChunk) {
  const auto chunks = Status(ReplyStyle::kStructured, {"qemu:dirty-bitmap:since:monday",
                                                       "base:allocation", "qemu:allocation-depth"});
  ASSERT_EQ(chunks.size(), 3u);
  for (const ReceivedReply& chunk : chunks) {
    EXPECT_EQ(chunk.type, ChunkType::kBlockStatus);
    EXPECT_EQ(chunk.done, &chunk == &chunks.back());
  }
  EXPECT_EQ(LoadBe<uint32_t>(chunks[0].payload, 0), 1u);
  EXPECT_EQ(LoadBe<uint32_t>(chunks[1].payload, 0), 2u);
  EXPECT_EQ(LoadBe<uint32_t>(chunks[1].payload, 8), 0u);  // in no layer
  const ConstBytes dirty = chunks[2].payload;
  ASSERT_EQ(dirty.size(), 4u + 5 * 8);
  const uint32_t expected[][2] = {
      {4096, 0}, {8192, 1}, {(1u << 20) - 12'288, 0}, {4096, 1}, {(1u << 20) - 4096, 0}};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(LoadBe<uint32_t>(dirty, 4 + 8 * i), expected[i][0]) << i;
    EXPECT_EQ(LoadBe<uint32_t>(dirty, 8 + 8 * i), expected[i][1]) << i;
  }
}

TEST_F(MetaContexts, ExtendedChunksHave64BitDescriptors) {
  const auto chunks = Status(ReplyStyle::kExtended, {"qemu:dirty-bitmap:parent"});
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].type, ChunkType::kBlockStatusExtended);
  EXPECT_EQ(chunks[0].request_offset, 0u);
  const ConstBytes payload = chunks[0].payload;
  ASSERT_EQ(payload.size(), 8u + 2 * 16);
  EXPECT_EQ(LoadBe<uint32_t>(payload, 4), 2u);
  EXPECT_EQ(LoadBe<uint64_t>(payload, 8), 4096u);
  EXPECT_EQ(LoadBe<uint64_t>(payload, 16), 1u);
  EXPECT_EQ(LoadBe<uint64_t>(payload, 24), (2u << 20) - 4096);
}

TEST_F(MetaContexts, APayloadChoosesAmongTheSelected) {
  const std::initializer_list<std::string_view> selected = {"base:allocation",
                                                            "qemu:dirty-bitmap:parent"};
  ClientScript only_the_bitmap;
  only_the_bitmap.Number(uint64_t{4096}).Number(uint32_t{3});
  const auto chunks = Status(ReplyStyle::kExtended, selected, only_the_bitmap);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(LoadBe<uint32_t>(chunks[0].payload, 0), 3u);
  EXPECT_EQ(LoadBe<uint64_t>(chunks[0].payload, 8), 4096u);
  ClientScript not_selected;
  not_selected.Number(uint64_t{4096}).Number(uint32_t{2});
  const auto refused = Status(ReplyStyle::kExtended, selected, not_selected);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].error, WireError::kInvalid);
}

// Data of many layers, a block of each in turn, and a hole behind it.
class LayeredDevice final : public BlockDevice {
 public:
  static constexpr uint64_t kBlockBytes = 4096;
  explicit LayeredDevice(uint64_t data_blocks) : data_bytes_(data_blocks * kBlockBytes) {
    info_.size = 2 * data_bytes_;
  }
  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t, Bytes) override { co_return Error{Errc::kIo, "not here"}; }
  Async<void> Write(uint64_t, ConstBytes, Durability) override {
    co_return Error{Errc::kIo, "not here"};
  }
  Async<void> WriteZeroes(ByteRange, ZeroHint, Durability) override {
    co_return Error{Errc::kIo, "not here"};
  }
  Async<void> Discard(ByteRange, Durability) override { co_return Error{Errc::kIo, "not here"}; }
  Async<void> Flush() override { co_return Error{Errc::kIo, "not here"}; }
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override {
    std::vector<StatusExtent> extents;
    while (!range.empty() && extents.size() < extents_max) {
      const bool data = range.offset < data_bytes_;
      const auto depth = static_cast<uint32_t>(1 + range.offset / kBlockBytes % 3);
      const uint64_t length = data ? kBlockBytes : range.length;
      extents.push_back(StatusExtent{length, !data, !data, data ? depth : 0});
      range = RangeBetween(range.offset + length, range.end());
    }
    looked_at += extents.size();
    co_return extents;
  }
  size_t looked_at = 0;

 private:
  uint64_t data_bytes_;
  DeviceInfo info_;
};

TEST_F(MetaContexts, DataOfSeveralLayersIsOneExtentOfTheAllocation) {
  for (const uint64_t blocks : {1u, 2u, 3u, 100u}) {
    LayeredDevice device(blocks);
    const Export layered("layered", device);
    const MetaContextList contexts = ContextsOf(layered);
    for (const size_t extents_max : {1u, 2u, 50u}) {
      const auto allocation =
          SyncWait(talk_.loop, contexts[0]->Describe({0, device.info().size}, extents_max));
      ASSERT_TRUE(allocation);
      ASSERT_EQ(allocation->size(), std::min<size_t>(extents_max, 2));
      EXPECT_EQ(allocation->front().length, blocks * LayeredDevice::kBlockBytes);
      const auto depth =
          SyncWait(talk_.loop, contexts[1]->Describe({0, device.info().size}, extents_max));
      ASSERT_TRUE(depth);
      EXPECT_EQ(depth->size(), std::min<size_t>(extents_max, blocks + 1));
      EXPECT_EQ(depth->front().length, LayeredDevice::kBlockBytes);
    }
  }
}

TEST_F(MetaContexts, OneExtentCostsABoundedSearch) {
  LayeredDevice device(1u << 20);
  const Export layered("layered", device);
  const auto one =
      SyncWait(talk_.loop, ContextsOf(layered)[0]->Describe({0, device.info().size}, 1));
  ASSERT_TRUE(one);
  EXPECT_GE(one->front().length, 1024 * LayeredDevice::kBlockBytes);
  EXPECT_LE(device.looked_at, 3000u);
}

TEST_F(MetaContexts, ABitmapThatIsGoneIsAnErrorNotACrash) {
  bitmaps_.dirty["short-lived"] = {};
  const MetaContextList contexts = ContextsOf(*talk_.exports.Find("changing"));
  bitmaps_.dirty.erase("short-lived");
  const auto found = std::ranges::find(contexts, "qemu:dirty-bitmap:short-lived",
                                       [](const auto& context) { return context->name(); });
  ASSERT_NE(found, contexts.end());
  const auto described = SyncWait(talk_.loop, (*found)->Describe({0, 4096}, 10));
  EXPECT_EQ(described.error().code, Errc::kNotFound);
}

TEST_F(MetaContexts, ASelectionOfTooManyIsRefusedAndSelectsNothing) {
  ClientScript payload;
  payload.Number(uint32_t{8}).Raw(AsBytes("changing")).Number(uint32_t{65});
  for (int i = 0; i < 65; ++i) {
    const std::string name = std::to_string(i);
    bitmaps_.dirty[name] = {};
    const std::string query = "qemu:dirty-bitmap:" + name;
    payload.Number(static_cast<uint32_t>(query.size())).Raw(AsBytes(query));
  }
  ServerScript answer = talk_.Answers(ClientScript()
                                          .Flags()
                                          .Option(OptionCode::kStructuredReply)
                                          .Option(OptionCode::kSetMetaContext, payload.bytes()));
  EXPECT_TRUE(answer.Greeting());
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kAck);
  EXPECT_EQ(TypeOf(answer.NextOptionReply()), OptionReply::kErrTooBig);
}

}  // namespace
}  // namespace mica::nbd
