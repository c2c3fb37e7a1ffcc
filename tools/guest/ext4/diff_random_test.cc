// SPDX-License-Identifier: Apache-2.0
// Random changes made by the kernel to a mounted copy of a master: the delta-bounded diff must say
// exactly what the full walk says. Needs root for loop mounts. MICA_SEED replays one run.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "engine/base/prng.h"
#include "tools/guest/ext4/diff.h"
#include "tools/guest/ext4/diff_test_changes.h"
#include "tools/guest/ext4/diff_test_support.h"
#include "tools/guest/ext4/walk.h"

namespace mica::guest {
namespace {

using testing::CopyImage;
using testing::DifferingBlocks;
using testing::LoopMount;
using testing::OpenVolume;
using testing::RandomChanges;
using testing::ScratchFolder;
using testing::Shell;
using testing::WriteAt;

constexpr const char* kLayouts[] = {
    "-t ext4 -b 4096",
    "-t ext4 -b 1024",
    "-t ext3 -b 4096",
    "-t ext3 -b 1024",
    "-t ext4 -b 4096 -I 512 -O inline_data,ea_inode",
    "-t ext4 -b 4096 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 2048 -I 128 -O ^dir_index",
    "-t ext4 -b 4096 -O bigalloc -C 16384",
};

std::vector<uint64_t> Seeds() {
  if (const char* seed = std::getenv("MICA_SEED")) return {std::strtoull(seed, nullptr, 10)};
  std::vector<uint64_t> seeds(32);
  for (size_t i = 0; i < seeds.size(); ++i) seeds[i] = i + 1;
  return seeds;
}

class DiffRandomTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: loop mounts need root";
  }
};

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

TEST_P(DiffRandomTest, EqualsTheFullWalk) {
  Prng random(GetParam());
  const char* layout = kLayouts[GetParam() % std::size(kLayouts)];
  RecordProperty("seed", std::to_string(GetParam()));
  SCOPED_TRACE(fmt::format("replay with MICA_SEED={} ({})", GetParam(), layout));
  const ScratchFolder folder;
  const std::string before = folder.Path("before");
  const std::string after = folder.Path("after");
  Shell(fmt::format("mke2fs -q {} {} 48M", layout, before));
  {
    const LoopMount mount(before, folder.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    RandomChanges(mount.path(), random).Run(400);
  }
  CopyImage(before, after);
  {
    const LoopMount mount(after, folder.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    RandomChanges(mount.path(), random).Run(30 + random.Below(150));
  }
  std::vector<ByteRange> touched;
  OverwriteContent(after, random, touched);
  for (const ByteRange& range : DifferingBlocks(before, after)) touched.push_back(range);
  for (int i = 0; i < 50; ++i) touched.push_back({random.Below(48 << 20), random.Below(20000)});

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

INSTANTIATE_TEST_SUITE_P(Seeds, DiffRandomTest, ::testing::ValuesIn(Seeds()));

}  // namespace
}  // namespace mica::guest
