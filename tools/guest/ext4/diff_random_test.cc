// SPDX-License-Identifier: Apache-2.0
// Random changes made by the kernel to a mounted copy of a master: the delta-bounded diff must say
// exactly what the full walk says.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tools/guest/ext4/diff.h"
#include "tools/guest/ext4/random_test_support.h"
#include "tools/guest/walk.h"

namespace mica::guest {
namespace {

using testing::CopyImage;
using testing::DifferingBlocks;
using testing::OpenVolume;
using testing::WriteAt;

// Writes into blocks of regular files behind the file system's back.
void OverwriteContent(const std::string& image, Prng& random, std::vector<ByteRange>& touched) {
  const auto open = OpenVolume(image);
  ASSERT_TRUE(open->volume);
  const auto index = BuildIndex(open->volume->fs(), open->volume->io());
  ASSERT_TRUE(index) << index.error().message;
  for (const IndexExtent& extent : index->extents()) {
    if (extent.use != BlockUse::kContent || !random.OneIn(20)) continue;
    const auto raw = open->volume->Inode(extent.inode);
    ASSERT_TRUE(raw);
    if (!IsRegular(*raw)) continue;
    const uint64_t at = extent.block * open->volume->fs()->blocksize + random.Below(900);
    WriteAt(image, at, AsBytes(fmt::format("seed {}", random.Next())));
    touched.push_back({at, 32});
  }
}

class DiffRandomTest : public testing::RandomTest {};

TEST_P(DiffRandomTest, EqualsTheFullWalk) {
  const std::string before = folder_.Path("before");
  const std::string after = folder_.Path("after");
  MakeMaster(before);
  CopyImage(before, after);
  Change(after, 30 + random_.Below(150));
  std::vector<ByteRange> touched;
  OverwriteContent(after, random_, touched);
  for (const ByteRange& range : DifferingBlocks(before, after)) touched.push_back(range);
  for (int i = 0; i < 50; ++i) touched.push_back({random_.Below(48 << 20), random_.Below(20000)});

  const auto one = OpenVolume(before);
  const auto two = OpenVolume(after);
  ASSERT_TRUE(one->volume && two->volume);
  const auto index = BuildIndex(one->volume->fs(), one->volume->io());
  ASSERT_TRUE(index) << index.error().message;
  const auto changes = DiffVolumes({*one->volume, *index, *two->volume, touched});
  ASSERT_TRUE(changes) << changes.error().message;
  const auto walked = WalkVolumes(*one->volume, *two->volume, {});
  ASSERT_TRUE(walked) << walked.error().message;
  EXPECT_GT(changes->objects.size(), 10U);
  EXPECT_EQ(testing::Describe(*changes), testing::Describe(walked->changes));
}

INSTANTIATE_TEST_SUITE_P(Seeds, DiffRandomTest, ::testing::ValuesIn(testing::Seeds(1, 32)));

}  // namespace
}  // namespace mica::guest
