// SPDX-License-Identifier: Apache-2.0
// The contract of BlockFile, for every host and I/O engine.
#include "engine/io/block_file.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/prng.h"
#include "tests/conformance/block_file_fixture.h"

namespace mica {
namespace {

using testing::HasSubstr;
using Data = std::vector<std::byte>;

Data Filled(size_t size, uint64_t value) {
  return Data(size, std::byte(value));
}

Data Pattern(size_t size, uint64_t seed) {
  Prng prng(seed);
  Data data(size);
  for (std::byte& byte : data) byte = std::byte(prng.Next() & 0xff);
  return data;
}

class BlockFileSuite : public HostSuite {
 protected:
  void SetUp() override {
    HostSuite::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) file_ = Create("file");
  }
  Result<void> Write(uint64_t offset, ConstBytes data) {
    return SyncWait(loop(), file_->Write(offset, data));
  }
  Data Read(uint64_t offset, size_t length) {
    Data data(length, std::byte{0xee});
    const Result<void> read = SyncWait(loop(), file_->Read(offset, data));
    EXPECT_TRUE(read.has_value()) << read.error().message;
    return data;
  }
  uint64_t Size() { return SyncWait(loop(), file_->Size()).value(); }

  std::unique_ptr<BlockFile> file_;
};

TEST_P(BlockFileSuite, ReadPastTheEndIsZero) {
  EXPECT_EQ(Read(0, 5000), Data(5000));
  ASSERT_TRUE(Write(0, Filled(1000, 7)));
  Data expected = Filled(1000, 7);
  expected.resize(10000);
  EXPECT_EQ(Read(0, 10000), expected);
  EXPECT_EQ(Read(999, 2), (Data{std::byte{7}, std::byte{0}}));
  EXPECT_EQ(Read(uint64_t{1} << 40, 4096), Data(4096));
  EXPECT_EQ(Size(), 1000u);
}

TEST_P(BlockFileSuite, GrowsExactly) {
  EXPECT_EQ(Size(), 0u);
  ASSERT_TRUE(Write(0, Filled(1, 1)));
  EXPECT_EQ(Size(), 1u);
  ASSERT_TRUE(Write(10'000, Filled(123, 2)));
  EXPECT_EQ(Size(), 10'123u);
  ASSERT_TRUE(Write(100, Filled(50, 3)));
  EXPECT_EQ(Size(), 10'123u);
  ASSERT_TRUE(Write(20'000, Data()));
  EXPECT_EQ(Size(), 10'123u);
  EXPECT_EQ(Read(150, 9850), Data(9850));
}

TEST_P(BlockFileSuite, UnalignedOffsetsLengthsAndMemory) {
  const Data content = Pattern(64 * 1024, 1);
  ASSERT_TRUE(Write(0, content));
  Data oracle = content;
  const uint64_t offsets[] = {0, 1, 511, 512, 513, 4095, 4096, 4097, 20'000};
  const uint64_t lengths[] = {0, 1, 2, 511, 512, 4096, 4097, 12'288, 30'001};
  AlignedBuffer memory(64 * 1024);
  uint64_t seed = 2;
  for (const uint64_t offset : offsets) {
    for (const uint64_t length : lengths) {
      const uint64_t skew = seed % 3 == 0 ? 0 : seed % 7;
      const Data data = Pattern(length, ++seed);
      const Bytes buffer = memory.span().subspan(skew, length);
      std::ranges::copy(data, buffer.begin());
      ASSERT_TRUE(Write(offset, buffer));
      std::ranges::copy(data, oracle.begin() + static_cast<std::ptrdiff_t>(offset));
      FillZero(memory.span());
      const Bytes back = memory.span().subspan(skew + 1, length);
      ASSERT_TRUE(SyncWait(loop(), file_->Read(offset, back)));
      ASSERT_TRUE(std::ranges::equal(back, data)) << offset << "+" << length;
    }
  }
  EXPECT_EQ(ReadAll(*file_), oracle);
}

TEST_P(BlockFileSuite, LargeTransfers) {
  const Data content = Pattern((5 << 20) + 13, 3);
  ASSERT_TRUE(Write(7, content));
  EXPECT_EQ(Read(7, content.size()), content);
  EXPECT_EQ(Size(), content.size() + 7);
}

TEST_P(BlockFileSuite, ManyWritesInFlight) {
  constexpr uint64_t kWrites = 600;  // more than any queue is deep
  std::vector<AlignedBuffer> buffers;
  std::vector<Async<void>> tasks;
  for (uint64_t i = 0; i < kWrites; ++i) {
    AlignedBuffer& buffer = buffers.emplace_back(size_t{4096});
    std::ranges::fill(buffer.span(), std::byte(i));
    tasks.push_back(file_->Write((i * 7 % kWrites) * 4096, std::as_const(buffer).span()));
  }
  const Result<void> written = SyncWait(loop(), WhenAll(loop(), std::move(tasks)));
  ASSERT_TRUE(written.has_value()) << written.error().message;
  EXPECT_EQ(Size(), kWrites * 4096);
  std::vector<Data> back(kWrites, Data(4096));
  for (uint64_t i = 0; i < kWrites; ++i) {
    tasks.push_back(file_->Read((i * 7 % kWrites) * 4096, back[i]));
  }
  ASSERT_TRUE(SyncWait(loop(), WhenAll(loop(), std::move(tasks))));
  for (uint64_t i = 0; i < kWrites; ++i) ASSERT_EQ(back[i], Filled(4096, i)) << i;
}

TEST_P(BlockFileSuite, NeighbouringUnalignedWritesInFlightDoNotHurtEachOther) {
  constexpr uint64_t kWrites = 100;
  constexpr uint64_t kLength = 100;
  std::vector<Data> data;
  for (uint64_t i = 0; i < kWrites; ++i) data.push_back(Filled(kLength, i + 1));
  std::vector<Async<void>> tasks;
  for (uint64_t i = kWrites; i-- > 0;) tasks.push_back(file_->Write(i * kLength, data[i]));
  const Data aligned = Filled(8192, 200);
  tasks.push_back(file_->Write(16'384, aligned));
  ASSERT_TRUE(SyncWait(loop(), WhenAll(loop(), std::move(tasks))));
  for (uint64_t i = 0; i < kWrites; ++i) ASSERT_EQ(Read(i * kLength, kLength), data[i]) << i;
  EXPECT_EQ(Size(), 16'384u + 8192);
  EXPECT_EQ(Read(16'384, 8192), aligned);
}

TEST_P(BlockFileSuite, OverlappingWritesLeaveOneOfThem) {
  std::vector<AlignedBuffer> buffers;
  std::vector<Async<void>> tasks;
  for (uint64_t i = 1; i <= 20; ++i) {
    AlignedBuffer& buffer = buffers.emplace_back(size_t{4096});
    std::ranges::fill(buffer.span(), std::byte(i));
    tasks.push_back(file_->Write(0, std::as_const(buffer).span()));
  }
  ASSERT_TRUE(SyncWait(loop(), WhenAll(loop(), std::move(tasks))));
  for (const std::byte byte : Read(0, 4096)) {
    ASSERT_GE(byte, std::byte{1});
    ASSERT_LE(byte, std::byte{20});
  }
}

TEST_P(BlockFileSuite, WritesZeroes) {
  for (const ZeroMode mode : {ZeroMode::kAllocate, ZeroMode::kDeallocate}) {
    ASSERT_TRUE(SyncWait(loop(), file_->Resize(0)));
    ASSERT_TRUE(Write(0, Filled(100'000, 9)));
    const Result<void> zeroed = SyncWait(loop(), file_->WriteZeroes({5000, 60'000}, mode));
    if (!zeroed) {
      EXPECT_EQ(zeroed.error().code, Errc::kUnsupported) << zeroed.error().message;
      EXPECT_EQ(Read(0, 100'000), Filled(100'000, 9));
      continue;
    }
    Data expected = Filled(100'000, 9);
    FillZero(Bytes(expected).subspan(5000, 60'000));
    EXPECT_EQ(ReadAll(*file_), expected);
  }
}

TEST_P(BlockFileSuite, ZeroModesAndTheSize) {
  ASSERT_TRUE(Write(0, Filled(5000, 9)));
  const Result<void> punched =
      SyncWait(loop(), file_->WriteZeroes({4096, 100'000}, ZeroMode::kDeallocate));
  EXPECT_EQ(Size(), 5000u) << punched.has_value();
  const Result<void> zeroed =
      SyncWait(loop(), file_->WriteZeroes({4096, 100'000}, ZeroMode::kAllocate));
  EXPECT_EQ(Size(), zeroed ? 104'096u : 5000u);
  EXPECT_TRUE(SyncWait(loop(), file_->WriteZeroes({10, 0}, ZeroMode::kDeallocate)));
}

TEST_P(BlockFileSuite, DeallocatingGivesSpaceBack) {
  ASSERT_TRUE(Write(0, Filled(1 << 20, 9)));
  ASSERT_TRUE(SyncWait(loop(), file_->Sync()));
  const uint64_t before = SyncWait(loop(), host().Stat(Path("file"))).value().allocated_bytes;
  EXPECT_GE(before, uint64_t{1} << 20);
  const Result<void> punched =
      SyncWait(loop(), file_->WriteZeroes({0, 1 << 19}, ZeroMode::kDeallocate));
  if (!punched) GTEST_SKIP() << "the host does not deallocate: " << punched.error().message;
  const uint64_t after = SyncWait(loop(), host().Stat(Path("file"))).value().allocated_bytes;
  EXPECT_LE(after + (1 << 19), before);
}

TEST_P(BlockFileSuite, AllocateKeepsContentAndGrows) {
  ASSERT_TRUE(Write(0, Filled(3000, 4)));
  const Result<void> allocated = SyncWait(loop(), file_->Allocate({1000, 1 << 20}));
  if (!allocated) {
    EXPECT_EQ(allocated.error().code, Errc::kUnsupported) << allocated.error().message;
    return;
  }
  EXPECT_EQ(Size(), uint64_t{1000} + (1 << 20));
  EXPECT_GE(SyncWait(loop(), host().Stat(Path("file"))).value().allocated_bytes, 1u << 20);
  EXPECT_EQ(Read(0, 3000), Filled(3000, 4));
  EXPECT_EQ(Read(3000, 10'000), Data(10'000));
}

TEST_P(BlockFileSuite, ResizeCutsAndGrowsWithZeroes) {
  ASSERT_TRUE(Write(0, Filled(10'000, 5)));
  ASSERT_TRUE(SyncWait(loop(), file_->Resize(5001)));
  EXPECT_EQ(Size(), 5001u);
  ASSERT_TRUE(SyncWait(loop(), file_->Resize(10'000)));
  Data expected = Filled(5001, 5);
  expected.resize(10'000);
  EXPECT_EQ(ReadAll(*file_), expected);
}

TEST_P(BlockFileSuite, SyncsWhileWriting) {
  AlignedBuffer buffer(4096);
  FillZero(buffer.span());
  std::vector<Async<void>> tasks;
  for (uint64_t i = 0; i < 32; ++i) {
    tasks.push_back(file_->Write(i * 4096, std::as_const(buffer).span()));
    if (i % 8 == 7) tasks.push_back(file_->Sync());
  }
  const Result<void> done = SyncWait(loop(), WhenAll(loop(), std::move(tasks)));
  EXPECT_TRUE(done.has_value()) << done.error().message;
}

TEST_P(BlockFileSuite, RefusesImpossibleOffsets) {
  const Data data(4096);
  Data back(4096);
  const uint64_t offset = ~uint64_t{0} - 100;
  const Result<void> written = Write(offset, data);
  ASSERT_FALSE(written.has_value());
  EXPECT_THAT(written.error().message, HasSubstr("file"));
  EXPECT_FALSE(SyncWait(loop(), file_->Read(offset, back)));
  EXPECT_FALSE(SyncWait(loop(), file_->Allocate({offset, 4096})));
  EXPECT_FALSE(SyncWait(loop(), file_->WriteZeroes({offset, 4096}, ZeroMode::kDeallocate)));
  EXPECT_EQ(Size(), 0u);
}

TEST_P(BlockFileSuite, AFileOpenedReadOnlyRefusesChanges) {
  ASSERT_TRUE(Write(0, Filled(100, 1)));
  OpenOptions options = Options();
  options.writable = false;
  const auto reader = SyncWait(loop(), host().Open(Path("file"), options)).value();
  EXPECT_EQ(SyncWait(loop(), reader->Write(0, Filled(4096, 2))).error().code, Errc::kReadOnly);
  EXPECT_EQ(SyncWait(loop(), reader->Write(1, Filled(10, 2))).error().code, Errc::kReadOnly);
  EXPECT_EQ(SyncWait(loop(), reader->Resize(0)).error().code, Errc::kReadOnly);
  EXPECT_EQ(SyncWait(loop(), reader->Allocate({0, 1})).error().code, Errc::kReadOnly);
  EXPECT_EQ(SyncWait(loop(), reader->WriteZeroes({0, 1}, ZeroMode::kAllocate)).error().code,
            Errc::kReadOnly);
  EXPECT_EQ(ReadAll(*reader), Filled(100, 1));
}

INSTANTIATE_TEST_SUITE_P(EveryHost, BlockFileSuite, testing::ValuesIn(kEveryHost), HostCaseName);

}  // namespace
}  // namespace mica
