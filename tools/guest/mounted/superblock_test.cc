// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/superblock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "tests/support/memory_device.h"

namespace mica::guest {
namespace {

using ::testing::HasSubstr;

class Superblocks : public ::testing::Test {
 protected:
  void PutBe64(size_t at, uint64_t value) {
    for (size_t i = 0; i < sizeof value; ++i) {
      disk_.bytes[at + i] = static_cast<std::byte>(value >> (56 - 8 * i));
    }
  }
  std::string RefusalOf(VolumeKind kind) {
    const auto facts = ReadMountedSuperblock(device_, kind);
    return facts ? "not refused" : facts.error().message;
  }

  MemoryLoop loop_;
  mica::testing::MemoryDevice disk_{1 << 20};
  SyncDevice device_{loop_, disk_};
};

TEST_F(Superblocks, XfsOnOneDeviceIsTaken) {
  PutBe64(48, 1000);  // the log's first block
  disk_.bytes[32] = std::byte{0xab};
  const std::string label = "home";
  std::ranges::copy(AsBytes(label), disk_.bytes.begin() + 108);
  const auto facts = ReadMountedSuperblock(device_, VolumeKind::kXfs);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->uuid[0], std::byte{0xab});
  EXPECT_EQ(facts->label, "home");
  PutBe64(16, 5);
  EXPECT_THAT(RefusalOf(VolumeKind::kXfs), HasSubstr("realtime"));
  PutBe64(48, 0);
  EXPECT_THAT(RefusalOf(VolumeKind::kXfs), HasSubstr("external log"));
}

TEST_F(Superblocks, BtrfsOnOneDeviceIsTaken) {
  StoreLe<uint64_t>(disk_.bytes, 0x10088, 1);
  disk_.bytes[0x10020] = std::byte{0xcd};
  const auto facts = ReadMountedSuperblock(device_, VolumeKind::kBtrfs);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->uuid[0], std::byte{0xcd});
  EXPECT_EQ(facts->label, "");
  StoreLe<uint64_t>(disk_.bytes, 0x10088, 3);
  EXPECT_THAT(RefusalOf(VolumeKind::kBtrfs), HasSubstr("on one device, found one on 3"));
}

TEST_F(Superblocks, OthersAreNotMounted) {
  EXPECT_THAT(RefusalOf(VolumeKind::kNtfs), HasSubstr("expected an XFS or btrfs"));
  EXPECT_EQ(KernelNameOf(VolumeKind::kNtfs), "");
}

}  // namespace
}  // namespace mica::guest
