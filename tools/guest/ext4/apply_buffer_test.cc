// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/apply_buffer.h"

#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "tools/guest/ext4/diff_test_support.h"

namespace mica::guest {
namespace {

constexpr uint64_t kBytes = 300000;  // not a whole number of pages

// Counts what reaches the file.
class CountingDevice final : public ForwardingDevice {
 public:
  explicit CountingDevice(BlockDevice& device) : ForwardingDevice(device) {}
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override {
    ++writes;
    return inner_.Write(offset, buffer, durability);
  }
  size_t writes = 0;
};

class ApplyBufferTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = folder_.Path("file");
    testing::Shell("head -c 300000 /dev/urandom > " + path);
    file_ = std::make_unique<testing::FileDevice>(path);
    counting_ = std::make_unique<CountingDevice>(*file_);
    expected_.resize(kBytes);
    ASSERT_TRUE(SyncWait(loop_, file_->Read(0, expected_)));
  }

  std::vector<std::byte> ReadAll(BlockDevice& device) {
    std::vector<std::byte> bytes(kBytes);
    EXPECT_TRUE(SyncWait(loop_, device.Read(0, bytes)));
    return bytes;
  }

  MemoryLoop loop_;
  testing::ScratchFolder folder_;
  std::unique_ptr<testing::FileDevice> file_;
  std::unique_ptr<CountingDevice> counting_;
  std::vector<std::byte> expected_;
};

TEST_F(ApplyBufferTest, HandsOnlyTheLastVersionOn) {
  ApplyBuffer buffer(*counting_);
  for (int i = 0; i < 1000; ++i) {
    const std::vector<std::byte> block(1024, std::byte(i));
    ASSERT_TRUE(SyncWait(loop_, buffer.Write(8192, block, Durability::kVolatile)));
  }
  EXPECT_EQ(counting_->writes, 0U);
  ASSERT_TRUE(SyncWait(loop_, buffer.Flush()));
  EXPECT_EQ(counting_->writes, 1U);
  std::fill_n(expected_.begin() + 8192, 1024, std::byte(999 & 0xff));
  EXPECT_EQ(ReadAll(*file_), expected_);
}

TEST_F(ApplyBufferTest, ReadsBackWhatWasWrittenWhateverWasHandedOn) {
  for (const uint64_t seed : {1, 2, 3, 4}) {
    SCOPED_TRACE(seed);
    Prng random(seed);
    ApplyBuffer buffer(*counting_, 100000);
    for (int i = 0; i < 400; ++i) {
      const uint64_t offset = random.Below(kBytes);
      const uint64_t length = 1 + random.Below(std::min<uint64_t>(kBytes - offset, 20000));
      if (random.OneIn(5)) {
        std::fill_n(expected_.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
        const ByteRange range{offset, length};
        ASSERT_TRUE(
            SyncWait(loop_, buffer.WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile)));
      } else {
        const std::vector<std::byte> data(length, std::byte(random.Next()));
        std::ranges::copy(data, expected_.begin() + static_cast<ptrdiff_t>(offset));
        const Durability durability =
            random.OneIn(30) ? Durability::kForced : Durability::kVolatile;
        ASSERT_TRUE(SyncWait(loop_, buffer.Write(offset, data, durability)));
      }
      if (i % 50 == 0) {
        ASSERT_EQ(ReadAll(buffer), expected_);
      }
    }
    ASSERT_TRUE(SyncWait(loop_, buffer.Flush()));
    EXPECT_EQ(ReadAll(*file_), expected_);
  }
}

TEST_F(ApplyBufferTest, RefusesWhatLiesBeyondTheEnd) {
  ApplyBuffer buffer(*counting_);
  const std::vector<std::byte> block(4096);
  const auto written = SyncWait(loop_, buffer.Write(kBytes - 10, block, Durability::kVolatile));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kOutOfRange);
}

}  // namespace
}  // namespace mica::guest
