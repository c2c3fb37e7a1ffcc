// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/filters/offset_device.h"
#include "engine/filters/pieces_device.h"
#include "engine/filters/read_only_device.h"
#include "engine/filters/throttle_device.h"
#include "tests/support/memory_device.h"

namespace mica {
namespace {

using testing::MemoryDevice;

TEST(OffsetDevice, MovesEveryRequestIntoItsWindow) {
  MemoryLoop loop;
  MemoryDevice disk(1000);
  OffsetDevice part(disk, ByteRange{100, 200});
  EXPECT_EQ(part.info().size, 200u);
  const std::vector<std::byte> data(50, std::byte{7});
  ASSERT_TRUE(SyncWait(loop, part.Write(10, data, Durability::kVolatile)).has_value());
  EXPECT_EQ(disk.bytes[109], std::byte{0});
  EXPECT_EQ(disk.bytes[110], std::byte{7});
  EXPECT_EQ(disk.bytes[159], std::byte{7});
  EXPECT_EQ(disk.bytes[160], std::byte{0});
  std::vector<std::byte> back(50);
  ASSERT_TRUE(SyncWait(loop, part.Read(10, back)).has_value());
  EXPECT_EQ(back, data);
  const ByteRange zeroed{10, 5};
  ASSERT_TRUE(SyncWait(loop, part.WriteZeroes(zeroed, ZeroHint::kMayUnmap, Durability::kVolatile))
                  .has_value());
  EXPECT_EQ(disk.bytes[110], std::byte{0});
  EXPECT_EQ(disk.bytes[115], std::byte{7});
}

TEST(OffsetDevice, RefusesWhatLeavesItsWindow) {
  MemoryLoop loop;
  MemoryDevice disk(1000);
  OffsetDevice part(disk, ByteRange{100, 200});
  std::vector<std::byte> buffer(2);
  EXPECT_TRUE(SyncWait(loop, part.Read(198, buffer)).has_value());
  for (const uint64_t offset : {uint64_t{199}, uint64_t{200}, UINT64_MAX, UINT64_MAX - 1}) {
    const Result<void> read = SyncWait(loop, part.Read(offset, buffer));
    ASSERT_FALSE(read.has_value()) << offset;
    EXPECT_EQ(read.error().code, Errc::kOutOfRange);
  }
}

TEST(PiecesDevice, JoinsItsPiecesInOrder) {
  MemoryLoop loop;
  MemoryDevice disk(1000);
  PiecesDevice volume(disk, {{500, 10}, {100, 20}, {120, 5}});
  EXPECT_EQ(volume.info().size, 35u);
  std::vector<std::byte> data(35);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i + 1);
  ASSERT_TRUE(SyncWait(loop, volume.Write(0, data, Durability::kVolatile)));
  EXPECT_EQ(disk.bytes[500], std::byte{1});
  EXPECT_EQ(disk.bytes[509], std::byte{10});
  EXPECT_EQ(disk.bytes[510], std::byte{0});
  EXPECT_EQ(disk.bytes[100], std::byte{11});
  EXPECT_EQ(disk.bytes[124], std::byte{35});
  std::vector<std::byte> back(27);
  ASSERT_TRUE(SyncWait(loop, volume.Read(8, back)));
  EXPECT_TRUE(std::ranges::equal(back, std::span(data).subspan(8)));
  const ByteRange zeroed{9, 2};
  ASSERT_TRUE(
      SyncWait(loop, volume.WriteZeroes(zeroed, ZeroHint::kMayUnmap, Durability::kVolatile)));
  EXPECT_EQ(disk.bytes[508], std::byte{9});
  EXPECT_EQ(disk.bytes[509], std::byte{0});
  EXPECT_EQ(disk.bytes[100], std::byte{0});
  EXPECT_EQ(disk.bytes[101], std::byte{12});
}

TEST(PiecesDevice, RefusesWhatLeavesItAndJoinsEqualStates) {
  MemoryLoop loop;
  MemoryDevice disk(1000);
  PiecesDevice volume(disk, {{500, 10}, {100, 20}});
  std::vector<std::byte> buffer(2);
  EXPECT_TRUE(SyncWait(loop, volume.Read(28, buffer)));
  for (const uint64_t offset : {uint64_t{29}, uint64_t{30}, UINT64_MAX}) {
    EXPECT_EQ(SyncWait(loop, volume.Read(offset, buffer)).error().code, Errc::kOutOfRange);
  }
  const auto extents = SyncWait(loop, volume.Status(ByteRange{5, 20}, 10));
  ASSERT_TRUE(extents);
  EXPECT_EQ(*extents, (std::vector<StatusExtent>{{20, false, false, 1}}));
}

TEST(ReadOnlyDevice, ReadsButRefusesEveryChange) {
  MemoryLoop loop;
  MemoryDevice disk(1000);
  ReadOnlyDevice device(disk);
  EXPECT_TRUE(device.info().read_only);
  std::vector<std::byte> buffer(8);
  const ByteRange range{0, 8};
  EXPECT_TRUE(SyncWait(loop, device.Read(0, buffer)).has_value());
  EXPECT_EQ(SyncWait(loop, device.Write(0, buffer, Durability::kVolatile)).error().code,
            Errc::kReadOnly);
  EXPECT_EQ(SyncWait(loop, device.Discard(range, Durability::kVolatile)).error().code,
            Errc::kReadOnly);
  EXPECT_EQ(SyncWait(loop, device.WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile))
                .error()
                .code,
            Errc::kReadOnly);
  EXPECT_TRUE(SyncWait(loop, device.Flush()).has_value());
}

// Reads at once, all of them; how long that took.
EventLoop::Time TimeOfReads(const ThrottleLimits& limits, size_t count, size_t bytes) {
  MemoryLoop loop;
  MemoryDevice disk(1u << 20);
  ThrottleDevice device(loop, disk, limits);
  std::vector<std::vector<std::byte>> buffers(count, std::vector<std::byte>(bytes));
  std::vector<Async<void>> reads;
  for (std::vector<std::byte>& buffer : buffers) reads.push_back(device.Read(0, buffer));
  const EventLoop::Time start = loop.Now();
  EXPECT_TRUE(SyncWait(loop, WhenAll(loop, std::move(reads))));
  return loop.Now() - start;
}

TEST(ThrottleDevice, KeepsToBothOfItsLimits) {
  using std::chrono::milliseconds;
  EXPECT_EQ(TimeOfReads({}, 1000, 4096), EventLoop::Time(0));
  // The loop begins at time 0, so nothing is saved up: the last of 100 starts after 99 others.
  EXPECT_NEAR(static_cast<double>(TimeOfReads({.requests = 100}, 100, 1).count()), 0.99e9, 0.02e9);
  EXPECT_NEAR(static_cast<double>(TimeOfReads({.bytes = 40960}, 20, 4096).count()), 1.9e9, 0.02e9);
  EXPECT_GE(TimeOfReads({.requests = 10, .bytes = 1u << 30}, 20, 4096), milliseconds(1700));
}

TEST(ThrottleDevice, AFlushIsNotDelayedAndLimitsCanBeLifted) {
  MemoryLoop loop;
  MemoryDevice disk(1u << 20);
  ThrottleDevice device(loop, disk, {.requests = 1});
  std::vector<std::byte> buffer(8);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(SyncWait(loop, device.Read(0, buffer)));
  const EventLoop::Time before = loop.Now();
  ASSERT_TRUE(SyncWait(loop, device.Flush()));
  EXPECT_EQ(loop.Now(), before);
  device.SetLimits({});
  ASSERT_TRUE(SyncWait(loop, device.Read(0, buffer)));
  EXPECT_EQ(loop.Now(), before);
}

}  // namespace
}  // namespace mica
