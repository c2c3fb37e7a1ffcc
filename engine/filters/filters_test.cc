// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/filters/offset_device.h"
#include "engine/filters/read_only_device.h"
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

}  // namespace
}  // namespace mica
