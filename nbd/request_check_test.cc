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
    if (replies == ReplyStyle::kStructured) {
      agreement_.contexts = {{.context = MetaContexts().front(), .id = 1}};
    }
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
      const bool valid = command == Command::kWriteZeroes && flag == kCommandNoHole;
      EXPECT_EQ(Check(command, range, flag), valid ? WireError::kNone : WireError::kInvalid)
          << CommandName(command) << " flag " << flag;
    }
  }
  EXPECT_EQ(Check(Command::kBlockStatus, range), WireError::kInvalid);  // no context
}

TEST_F(RequestCheck, DfNeedsStructuredReplies) {
  Agree(Access::kReadWrite, ReplyStyle::kStructured);
  EXPECT_EQ(Check(Command::kRead, {0, 4096}, kCommandDf), WireError::kNone);
  EXPECT_EQ(Check(Command::kBlockStatus, {0, 4096}, kCommandReqOne), WireError::kNone);
  EXPECT_EQ(Check(Command::kRead, {0, 4096}, kCommandReqOne), WireError::kInvalid);
  EXPECT_EQ(Check(Command::kWriteZeroes, {0, 4096}, kCommandFastZero), WireError::kInvalid);
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
