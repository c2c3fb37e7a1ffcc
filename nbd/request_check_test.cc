// SPDX-License-Identifier: Apache-2.0
#include "nbd/request_check.h"

#include <gtest/gtest.h>

#include "nbd/testing/conversation.h"

namespace mica::nbd {
namespace {

constexpr uint64_t kSize = (uint64_t{1} << 32) + 8192;

class RequestCheck : public testing::Test {
 protected:
  void Agree(Access access, ReplyStyle replies) {
    Export added(access == Access::kReadOnly ? "ro" : "rw", device_);
    added.access = access;
    ASSERT_TRUE(table_.Add(std::move(added)));
    agreement_.target = *table_.Acquire(access == Access::kReadOnly ? "ro" : "rw");
    agreement_.replies = replies;
    agreement_.flags = TransmissionFlags(*agreement_.target, replies);
    if (replies == ReplyStyle::kSimple) return;
    agreement_.contexts = {{.context = ContextsOf(*agreement_.target)[0], .id = 1},
                           {.context = ContextsOf(*agreement_.target)[1], .id = 2}};
  }
  WireError Check(Command command, ByteRange range, uint16_t flags = 0) {
    const Request request{.flags = flags, .command = command, .cookie = 0, .range = range};
    const std::optional<Refusal> refusal = CheckRequest(request, agreement_);
    return refusal ? refusal->error : WireError::kNone;
  }

  MemoryLoop loop_;
  MemoryDevice device_{loop_, {.size = kSize}};
  ExportTable table_;
  Agreement agreement_;
};

// Every command at every edge of 32 and 64 bits.
TEST_F(RequestCheck, RangesAtTheEdges) {
  Agree(Access::kReadWrite, ReplyStyle::kStructured);
  const uint64_t edges[] = {0,
                            1,
                            511,
                            4095,
                            uint64_t{1} << 31,
                            UINT32_MAX,
                            uint64_t{1} << 32,
                            kSize - 1,
                            kSize,
                            kSize + 1,
                            uint64_t{1} << 63,
                            UINT64_MAX - 1,
                            UINT64_MAX};
  const Command commands[] = {Command::kRead,  Command::kWrite,       Command::kTrim,
                              Command::kCache, Command::kWriteZeroes, Command::kBlockStatus};
  for (const Command command : commands) {
    const bool stores = command == Command::kWrite || command == Command::kWriteZeroes;
    const bool payload = command == Command::kRead || command == Command::kWrite;
    const WireError beyond = stores ? WireError::kNoSpace : WireError::kInvalid;
    for (const uint64_t offset : edges) {
      for (const uint64_t length : edges) {
        if (length > UINT32_MAX) continue;  // the wire has 32 bits
        const bool inside = length <= kSize && offset <= kSize - length;
        WireError expected = inside ? WireError::kNone : beyond;
        if (payload && length > kPayloadBytesMax) expected = WireError::kInvalid;
        if (command == Command::kBlockStatus && length == 0) expected = WireError::kInvalid;
        EXPECT_EQ(Check(command, {offset, length}), expected)
            << CommandName(command) << " at " << offset << " length " << length;
      }
    }
  }
}

TEST_F(RequestCheck, EveryFlagIsCheckedAgainstWhatWasOffered) {
  Agree(Access::kReadWrite, ReplyStyle::kSimple);
  const ByteRange range{0, 4096};
  for (const Command command : {Command::kRead, Command::kWrite, Command::kTrim, Command::kCache,
                                Command::kWriteZeroes, Command::kFlush}) {
    EXPECT_EQ(Check(command, range, kCommandFua), WireError::kNone) << CommandName(command);
    for (unsigned bit = 1; bit < 16; ++bit) {
      const auto flag = static_cast<uint16_t>(1u << bit);
      WireError expected = WireError::kInvalid;
      if (command == Command::kWriteZeroes && flag == kCommandNoHole) expected = WireError::kNone;
      if (command == Command::kWriteZeroes && flag == kCommandFastZero) {
        expected = WireError::kNotSupported;  // valid, but this device is slow
      }
      EXPECT_EQ(Check(command, range, flag), expected) << CommandName(command) << " flag " << flag;
    }
  }
  EXPECT_EQ(Check(Command::kBlockStatus, range), WireError::kInvalid);  // no context
}

TEST_F(RequestCheck, DfNeedsStructuredReplies) {
  Agree(Access::kReadWrite, ReplyStyle::kStructured);
  EXPECT_EQ(Check(Command::kRead, {0, 4096}, kCommandDf), WireError::kNone);
  EXPECT_EQ(Check(Command::kBlockStatus, {0, 4096}, kCommandReqOne), WireError::kNone);
  EXPECT_EQ(Check(Command::kRead, {0, 4096}, kCommandReqOne), WireError::kInvalid);
}

TEST_F(RequestCheck, FastZeroesAreOnlyThoseThatAreFast) {
  constexpr uint64_t kUnit = 65536;
  MemoryDevice quick(loop_, {.size = kSize, .quick_zero_bytes = kUnit});
  ASSERT_TRUE(table_.Add(Export("quick", quick)));
  agreement_.target = *table_.Acquire("quick");
  agreement_.flags = TransmissionFlags(*agreement_.target, agreement_.replies);
  const auto zero = [&](ByteRange range, uint16_t more = 0) {
    return Check(Command::kWriteZeroes, range, kCommandFastZero | more);
  };
  EXPECT_EQ(zero({0, kUnit}), WireError::kNone);
  EXPECT_EQ(zero({0, kSize}), WireError::kNone);
  EXPECT_EQ(zero({AlignDown(kSize, kUnit), kSize % kUnit}), WireError::kNone);  // the last unit
  EXPECT_EQ(zero({512, 2 * kUnit}), WireError::kNone);  // a whole one inside
  EXPECT_EQ(zero({512, kUnit}), WireError::kNotSupported);
  EXPECT_EQ(zero({0, 4096}), WireError::kNotSupported);
  EXPECT_EQ(zero({0, kUnit}, kCommandNoHole), WireError::kNotSupported);
  EXPECT_EQ(zero({kSize, kUnit}), WireError::kNoSpace);
}

TEST_F(RequestCheck, PayloadLengthNeedsExtendedHeaders) {
  Agree(Access::kReadWrite, ReplyStyle::kExtended);
  const ByteRange range{0, 4096};
  EXPECT_EQ(Check(Command::kWrite, range, kCommandPayloadLen), WireError::kNone);
  EXPECT_EQ(Check(Command::kRead, range, kCommandPayloadLen), WireError::kInvalid);
  EXPECT_EQ(Check(Command::kTrim, range, kCommandPayloadLen), WireError::kInvalid);
  EXPECT_EQ(Check(Command::kBlockStatus, range, kCommandPayloadLen), WireError::kInvalid);
  agreement_.flags |= kFlagBlockStatusPayload;
  EXPECT_EQ(Check(Command::kBlockStatus, range, kCommandPayloadLen), WireError::kNone);
  EXPECT_EQ(Check(Command::kWrite, range), WireError::kNone);  // taken as if it were there
  agreement_.replies = ReplyStyle::kStructured;
  EXPECT_EQ(Check(Command::kWrite, range, kCommandPayloadLen), WireError::kInvalid);
}

TEST_F(RequestCheck, StatusPayloadsAreTakenApartExactly) {
  Agree(Access::kReadWrite, ReplyStyle::kExtended);
  agreement_.flags |= kFlagBlockStatusPayload;
  const auto read = [&](uint64_t length, std::initializer_list<uint32_t> ids, size_t cut = 0) {
    ClientScript payload;
    payload.Number(length);
    for (const uint32_t id : ids) payload.Number(id);
    const ConstBytes bytes = ConstBytes(payload.bytes()).first(payload.bytes().size() - cut);
    const Request request{.flags = kCommandPayloadLen,
                          .command = Command::kBlockStatus,
                          .range = {4096, bytes.size()},
                          .payload_bytes = bytes.size()};
    return ReadStatusQuery(request, bytes, agreement_);
  };
  const auto both = read(kSize - 4096, {2, 1});
  ASSERT_TRUE(both);
  EXPECT_EQ(both->length, kSize - 4096);
  ASSERT_EQ(both->contexts.size(), 2u);
  EXPECT_EQ(both->contexts[0]->id, 2u);
  EXPECT_TRUE(read(1, {1}));
  EXPECT_FALSE(read(kSize, {1}));       // beyond the end
  EXPECT_FALSE(read(UINT64_MAX, {1}));  // wraps
  EXPECT_FALSE(read(0, {1}));
  EXPECT_FALSE(read(4096, {}));
  EXPECT_FALSE(read(4096, {3}));
  EXPECT_FALSE(read(4096, {1, 1}));
  for (size_t cut = 1; cut < 12; ++cut) EXPECT_FALSE(read(4096, {1}, cut)) << cut;
}

TEST_F(RequestCheck, ReadOnlyExportsRefuseChanges) {
  Agree(Access::kReadOnly, ReplyStyle::kStructured);
  EXPECT_EQ(agreement_.flags & (kFlagSendFlush | kFlagSendFua | kFlagSendTrim), 0);
  EXPECT_EQ(Check(Command::kWrite, {0, 4096}), WireError::kPerm);
  EXPECT_EQ(Check(Command::kTrim, {0, 4096}), WireError::kPerm);
  EXPECT_EQ(Check(Command::kWriteZeroes, {0, 4096}), WireError::kPerm);
  EXPECT_EQ(Check(Command::kFlush, {0, 0}), WireError::kInvalid);
  EXPECT_EQ(Check(Command::kRead, {0, 4096}, kCommandFua), WireError::kInvalid);
  EXPECT_EQ(Check(Command::kRead, {0, 4096}), WireError::kNone);
}

TEST_F(RequestCheck, UnknownCommandsAndIgnoredRanges) {
  Agree(Access::kReadWrite, ReplyStyle::kStructured);
  EXPECT_EQ(Check(Command{8}, {0, 0}), WireError::kInvalid);
  EXPECT_EQ(Check(Command{0xffff}, {0, 0}), WireError::kInvalid);
  EXPECT_EQ(Check(Command::kFlush, {UINT64_MAX, UINT32_MAX}), WireError::kNone);
}

TEST(RequestCheckAlignment, TheMinimumBlockSizeHolds) {
  MemoryLoop loop;
  MemoryDevice device(loop, {.size = 1 << 20, .block_bytes_min = 512});
  ExportTable table;
  ASSERT_TRUE(table.Add(Export("d", device)));
  Agreement agreement;
  agreement.target = *table.Acquire("d");
  agreement.flags = TransmissionFlags(*agreement.target, agreement.replies);
  Request request{.range = {512, 1024}};
  EXPECT_FALSE(CheckRequest(request, agreement));
  request.range.offset = 511;
  EXPECT_TRUE(CheckRequest(request, agreement));
}

}  // namespace
}  // namespace mica::nbd
