// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/filters/forwarding_device.h"
#include "engine/jobs/compare.h"
#include "engine/jobs/copy.h"
#include "tests/support/memory_device.h"

namespace mica {
namespace {

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kMiB = uint64_t{1} << 20;

// Knows which of its blocks are zero, counts what is asked of it and can fail.
class StatusDevice final : public ForwardingDevice {
 public:
  StatusDevice(EventLoop& loop, testing::MemoryDevice& inner)
      : ForwardingDevice(inner), loop_(loop), memory_(inner) {}

  Async<void> Read(uint64_t offset, Bytes buffer) override {
    read_bytes += buffer.size();
    co_await loop_.Yield();  // so that workers really overlap
    const ByteRange range{offset, buffer.size()};
    if (range.Contains(fails_at)) co_return Error{Errc::kIo, "injected"};
    co_return co_await inner_.Read(offset, buffer);
  }
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override {
    written_bytes += buffer.size();
    co_await loop_.Yield();
    const ByteRange range{offset, buffer.size()};
    if (range.Contains(fails_at)) co_return Error{Errc::kIo, "injected"};
    co_return co_await inner_.Write(offset, buffer, durability);
  }
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override {
    co_await loop_.Yield();
    if (status_fails) co_return Error{Errc::kIo, "status"};
    std::vector<StatusExtent> extents;
    for (uint64_t at = range.offset; at < range.end();) {
      const uint64_t length = std::min(kBlock, range.end() - at);
      StatusExtent extent;
      extent.length = length;
      extent.zero = IsZero(ConstBytes(memory_.bytes).subspan(at, length));
      if (!extents.empty() && extents.back().zero == extent.zero) {
        extents.back().length += length;
      } else if (extents.size() == std::min<size_t>(extents_max, 3)) {
        break;  // a cover that ends early is allowed
      } else {
        extents.push_back(extent);
      }
      at += length;
    }
    co_return extents;
  }

  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t fails_at = UINT64_MAX;
  bool status_fails = false;

 private:
  EventLoop& loop_;
  testing::MemoryDevice& memory_;
};

void Fill(testing::MemoryDevice& device, ByteRange range, uint8_t value) {
  std::fill_n(device.bytes.begin() + static_cast<int64_t>(range.offset), range.length,
              std::byte{value});
}

class JobsTest : public ::testing::Test {
 protected:
  Result<CopyTotals> RunCopy(BlockDevice& source, BlockDevice& target,
                             BlockDevice* baseline = nullptr) {
    CopyOptions options;
    options.baseline = baseline;
    options.on_progress = [this](const CopyTotals& totals) {
      EXPECT_GE(totals.examined_bytes, last_progress_);
      last_progress_ = totals.examined_bytes;
    };
    last_progress_ = 0;
    return SyncWait(loop_, Copy(loop_, source, target, std::move(options)));
  }
  CompareOutcome RunCompare(BlockDevice& a, BlockDevice& b) {
    return SyncWait(loop_, Compare(loop_, a, b, CompareOptions()));
  }

  MemoryLoop loop_;
  uint64_t last_progress_ = 0;
};

TEST_F(JobsTest, CopiesDataAndLeavesZeroesAlone) {
  testing::MemoryDevice from(5 * kMiB + 700);
  testing::MemoryDevice to(8 * kMiB);
  Fill(from, {3 * kBlock, 2 * kBlock}, 1);
  Fill(from, {kMiB - 5, 10}, 2);
  Fill(from, {5 * kMiB + 100, 600}, 3);
  StatusDevice source(loop_, from);
  StatusDevice target(loop_, to);
  const auto totals = RunCopy(source, target);
  ASSERT_TRUE(totals);
  EXPECT_EQ(totals->examined_bytes, 5 * kMiB + 700);
  EXPECT_EQ(last_progress_, 5 * kMiB + 700);
  EXPECT_EQ(totals->written_bytes, 4 * kBlock + 700);
  EXPECT_EQ(totals->zeroed_bytes, 0u);
  EXPECT_EQ(source.read_bytes, 4 * kBlock + 700);
  EXPECT_EQ(target.written_bytes, 4 * kBlock + 700);
  EXPECT_TRUE(std::equal(from.bytes.begin(), from.bytes.end(), to.bytes.begin()));
}

TEST_F(JobsTest, FindsZeroesThatTheSourceDoesNotKnowOf) {
  testing::MemoryDevice from(4 * kMiB);  // reports everything as data
  testing::MemoryDevice to(4 * kMiB);
  Fill(from, {kMiB, kBlock}, 7);
  const auto totals = RunCopy(from, to);
  ASSERT_TRUE(totals);
  EXPECT_EQ(totals->written_bytes, kBlock);
  EXPECT_EQ(from.bytes, to.bytes);
}

TEST_F(JobsTest, WritesOnlyWhatDiffersFromTheBaseline) {
  testing::MemoryDevice from(4 * kMiB);
  testing::MemoryDevice base(2 * kMiB);  // a parent smaller than its child
  Fill(base, {0, 2 * kMiB}, 9);
  Fill(from, {0, kMiB}, 9);           // as in the baseline
  Fill(from, {kMiB, kBlock}, 4);      // changed
  Fill(from, {3 * kMiB, kBlock}, 5);  // past the baseline
  // From kMiB + kBlock to 2 MiB the source is zero and the baseline is not.
  testing::MemoryDevice to(4 * kMiB);
  std::ranges::copy(base.bytes, to.bytes.begin());
  StatusDevice source(loop_, from);
  const auto totals = RunCopy(source, to, &base);
  ASSERT_TRUE(totals);
  EXPECT_EQ(totals->written_bytes, 2 * kBlock);
  EXPECT_EQ(totals->zeroed_bytes, kMiB - kBlock);
  EXPECT_EQ(from.bytes, to.bytes);
}

TEST_F(JobsTest, CopyReportsTheFailureOfEitherSide) {
  testing::MemoryDevice from(8 * kMiB);
  testing::MemoryDevice to(8 * kMiB);
  Fill(from, {0, 8 * kMiB}, 1);
  StatusDevice source(loop_, from);
  StatusDevice target(loop_, to);
  source.fails_at = 3 * kMiB;
  EXPECT_EQ(RunCopy(source, target).error().message, "injected");
  source.fails_at = UINT64_MAX;
  target.fails_at = 3 * kMiB;
  EXPECT_EQ(RunCopy(source, target).error().message, "injected");
  target.fails_at = UINT64_MAX;
  source.status_fails = true;
  EXPECT_EQ(RunCopy(source, target).error().message, "status");
}

TEST_F(JobsTest, CopyOfNothing) {
  testing::MemoryDevice from(0);
  testing::MemoryDevice to(0);
  const auto totals = RunCopy(from, to);
  ASSERT_TRUE(totals);
  EXPECT_EQ(totals->examined_bytes, 0u);
}

TEST_F(JobsTest, CompareFindsTheLowestDifference) {
  testing::MemoryDevice a(20 * kMiB);
  testing::MemoryDevice b(20 * kMiB);
  Fill(a, {0, 20 * kMiB}, 1);
  Fill(b, {0, 20 * kMiB}, 1);
  EXPECT_EQ(RunCompare(a, b)->first_difference, std::nullopt);
  EXPECT_EQ(RunCompare(a, b)->examined_bytes, 20 * kMiB);
  b.bytes[3 * kMiB + 17] = std::byte{2};
  b.bytes[9 * kMiB] = std::byte{2};
  EXPECT_EQ(RunCompare(a, b)->first_difference, 3 * kMiB + 17);
}

TEST_F(JobsTest, CompareTakesTheShorterOneToGoOnWithZeroes) {
  testing::MemoryDevice a(kMiB);
  testing::MemoryDevice b(3 * kMiB + 5);
  EXPECT_EQ(RunCompare(a, b)->first_difference, std::nullopt);
  EXPECT_EQ(RunCompare(a, b)->examined_bytes, 3 * kMiB + 5);
  b.bytes.back() = std::byte{1};
  EXPECT_EQ(RunCompare(a, b)->first_difference, 3 * kMiB + 4);
  EXPECT_EQ(RunCompare(b, a)->first_difference, 3 * kMiB + 4);
}

TEST_F(JobsTest, CompareDoesNotReadWhatIsKnownToBeZero) {
  testing::MemoryDevice a_memory(16 * kMiB);
  testing::MemoryDevice b_memory(16 * kMiB);
  Fill(a_memory, {kMiB, kBlock}, 1);
  Fill(b_memory, {kMiB, kBlock}, 1);
  StatusDevice a(loop_, a_memory);
  StatusDevice b(loop_, b_memory);
  EXPECT_EQ(RunCompare(a, b)->first_difference, std::nullopt);
  EXPECT_EQ(a.read_bytes, kBlock);
  EXPECT_EQ(b.read_bytes, kBlock);
}

TEST_F(JobsTest, CompareTellsStatusFromRead) {
  testing::MemoryDevice a_memory(4 * kMiB);
  testing::MemoryDevice b(4 * kMiB);
  StatusDevice a(loop_, a_memory);
  Fill(a_memory, {0, kBlock}, 1);
  Fill(b, {0, kBlock}, 1);
  a.fails_at = 0;
  const auto read_failed = RunCompare(a, b);
  ASSERT_FALSE(read_failed);
  EXPECT_EQ(read_failed.error().step, CompareFailure::Step::kRead);
  a.status_fails = true;
  const auto status_failed = RunCompare(a, b);
  ASSERT_FALSE(status_failed);
  EXPECT_EQ(status_failed.error().step, CompareFailure::Step::kStatus);
}

uint64_t Seed() {
  const char* given = std::getenv("MICA_SEED");
  return given == nullptr ? 20240607 : std::strtoull(given, nullptr, 0);
}

void Scribble(Prng& random, testing::MemoryDevice& device) {
  for (int i = 0; i < 30; ++i) {
    const uint64_t offset = random.Below(device.bytes.size());
    const uint64_t length =
        random.Below(std::min<uint64_t>(64 * 1024, device.bytes.size() - offset));
    Fill(device, {offset, length}, static_cast<uint8_t>(random.Below(3)));
  }
}

TEST_F(JobsTest, RandomDisksBecomeEqual) {
  const uint64_t seed = Seed();
  std::cout << "MICA_SEED=" << seed << "\n";
  Prng random(seed);
  for (int round = 0; round < 50; ++round) {
    testing::MemoryDevice from(1 + random.Below(3 * kMiB));
    testing::MemoryDevice base(1 + random.Below(3 * kMiB));
    Scribble(random, base);
    std::copy_n(base.bytes.begin(), std::min(base.bytes.size(), from.bytes.size()),
                from.bytes.begin());
    Scribble(random, from);
    testing::MemoryDevice to(from.bytes.size());
    std::copy_n(base.bytes.begin(), std::min(base.bytes.size(), to.bytes.size()), to.bytes.begin());
    StatusDevice source(loop_, from);
    StatusDevice baseline(loop_, base);
    ASSERT_TRUE(RunCopy(source, to, &baseline)) << "round " << round;
    ASSERT_EQ(from.bytes, to.bytes) << "round " << round;
    StatusDevice copied(loop_, to);
    ASSERT_EQ(RunCompare(source, copied)->first_difference, std::nullopt) << "round " << round;
    to.bytes[random.Below(to.bytes.size())] ^= std::byte{1};
    ASSERT_NE(RunCompare(source, copied)->first_difference, std::nullopt) << "round " << round;
  }
}

}  // namespace
}  // namespace mica
