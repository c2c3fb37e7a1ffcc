// SPDX-License-Identifier: Apache-2.0
// What a volume says it can hold is what the writer stores, whatever stood in the inode before.
#include "tools/guest/ext4/xattr_room.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/base/prng.h"
#include "tools/guest/ext4/writer_test_support.h"

namespace mica::guest::testing {
namespace {

// A few attributes of which about half the sets fit into the inode and one block.
Xattrs RandomXattrs(Prng& prng, const XattrRoom& room) {
  constexpr std::string_view kPrefixes[] = {"user.", "trusted.", "security."};
  Xattrs xattrs;
  size_t left = prng.Below(2 * (room.inode_bytes + room.block_bytes));
  while (left > 20) {
    const std::string name = fmt::format("{}{}{}", kPrefixes[prng.Below(3)], xattrs.size(),
                                         std::string(prng.Below(20), 'n'));
    const size_t sizes[] = {0, 10, 40, 100, room.inode_bytes, room.block_bytes, left};
    const size_t size = std::min<size_t>({prng.Below(sizes[prng.Below(7)] + 1), left, 65536});
    xattrs[name] = Pattern(prng.Next(), size);
    left -= std::min(left, size + 30);
  }
  return xattrs;
}

class XattrRoomTest : public ::testing::TestWithParam<MkfsVariant> {};

TEST_P(XattrRoomTest, HoldsExactlyWhatCanBeStored) {
  const char* chosen = std::getenv("MICA_SEED");
  const uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  SCOPED_TRACE(fmt::format("MICA_SEED={}", seed));
  ScratchFolder scratch;
  const std::string image = scratch.Path("fs.img");
  MakeFs(image, GetParam());
  WriteSession session(image);
  Prng prng(seed);
  const XattrRoom room = LeastRoomForXattrs(session.volume().fs());
  const auto inode = session.writer().Create({EXT2_ROOT_INO, "f"}, MakeNew(ObjectKind::kRegular));
  ASSERT_TRUE(inode);
  Attributes attributes = MakeNew(ObjectKind::kRegular).attributes;
  int held = 0;
  for (int step = 0; step < 200; ++step) {
    attributes.xattrs = RandomXattrs(prng, room);
    const bool holds = session.volume().CanHold(attributes.xattrs);
    const auto stored = session.writer().SetAttributes(*inode, attributes);
    ASSERT_EQ(stored.has_value(), holds) << step << (stored ? "" : stored.error().message);
    if (!holds) continue;
    ++held;
    const auto object = session.volume().Stat(*inode);
    ASSERT_TRUE(object);
    ASSERT_EQ(object->attributes.xattrs, attributes.xattrs);
  }
  EXPECT_GT(held, 50);
  session.Finish();
}

INSTANTIATE_TEST_SUITE_P(All, XattrRoomTest, ::testing::ValuesIn(AllVariants()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mica::guest::testing
