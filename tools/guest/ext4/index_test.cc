// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/index.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tools/guest/ext4/diff_test_support.h"
#include "tools/guest/ext4/index_codec.h"

namespace mica::guest {
namespace {

using testing::Debugfs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OpenVolume;
using testing::ScratchFolder;
using testing::Shell;

// A tree with what an index must know: a nested directory, a file with two names, a symlink with a
// target in a block, and a directory of several blocks.
std::string MakeImage(const ScratchFolder& folder, const std::string& mke2fs_options) {
  const std::string tree = folder.Path("tree");
  const std::string image = folder.Path("image");
  Shell(fmt::format(
      "mkdir -p {0}/etc/deep {0}/many && echo one > {0}/etc/one && ln {0}/etc/one {0}/etc/deep/two "
      "&& ln -s $(printf 'x%.0s' $(seq 100)) {0}/long && for i in $(seq 300); do echo $i > "
      "{0}/many/a-file-with-quite-a-long-name-$i; done && head -c 300000 /dev/urandom > {0}/blob",
      tree));
  Shell(fmt::format("mke2fs -q -t ext4 {} -d {} {} 48M", mke2fs_options, tree, image));
  return image;
}

Ext4Index MustBuild(Ext4Volume& volume) {
  auto index = BuildIndex(volume.fs(), volume.io());
  EXPECT_TRUE(index) << (index ? "" : index.error().message);
  return index ? std::move(*index) : Ext4Index{};
}

uint32_t MustFind(Ext4Volume& volume, std::string_view path) {
  const auto inode = LookupPath(volume, path);
  EXPECT_TRUE(inode && *inode) << path;
  return inode && *inode ? static_cast<uint32_t>(**inode) : 0;
}

class IndexVariants : public ::testing::TestWithParam<const char*> {};

TEST_P(IndexVariants, KnowsEveryNameAndEveryStoredBlock) {
  const ScratchFolder folder;
  const auto image = OpenVolume(MakeImage(folder, GetParam()));
  ASSERT_TRUE(image->volume);
  Ext4Volume& volume = *image->volume;
  const Ext4Index index = MustBuild(volume);

  const auto names = index.NamesOf(MustFind(volume, "/etc/one"));
  ASSERT_EQ(names.size(), 2U);
  std::set<std::pair<uint32_t, std::string>> found;
  for (const IndexName& name : names) found.emplace(name.parent, name.leaf);
  EXPECT_TRUE(found.contains({MustFind(volume, "/etc"), "one"}));
  EXPECT_TRUE(found.contains({MustFind(volume, "/etc/deep"), "two"}));
  EXPECT_EQ(index.name_count(), 2U + 300 + 6);  // with lost+found

  const uint32_t blob = MustFind(volume, "/blob");
  uint64_t blocks = 0;
  for (const IndexExtent& extent : index.extents()) {
    if (extent.inode == blob && extent.use == BlockUse::kContent) blocks += extent.length;
  }
  EXPECT_EQ(blocks, DivideRoundUp(300000, volume.fs()->blocksize));
}

INSTANTIATE_TEST_SUITE_P(Layouts, IndexVariants,
                         ::testing::Values("-b 4096", "-b 1024", "-b 4096 -O ^extents,^64bit",
                                           "-b 4096 -I 512 -O inline_data,ea_inode",
                                           "-b 4096 -O ^metadata_csum,uninit_bg"));

TEST(IndexTest, FindsTheOwnersOfARun) {
  const ScratchFolder folder;
  const auto image = OpenVolume(MakeImage(folder, ""));
  ASSERT_TRUE(image->volume);
  const Ext4Index index = MustBuild(*image->volume);
  for (const IndexExtent& extent : index.extents()) {
    std::vector<IndexExtent> owners;
    index.ForEachOwner({extent.end() - 1, 1}, [&](const IndexExtent& e) { owners.push_back(e); });
    EXPECT_THAT(owners, ElementsAre(extent));
  }
  size_t all = 0;
  index.ForEachOwner({0, index.shape().block_count}, [&](const IndexExtent&) { ++all; });
  EXPECT_EQ(all, index.extents().size());
}

TEST(IndexTest, RefusesBlocksThatTwoFilesClaim) {
  const ScratchFolder folder;
  const std::string path = MakeImage(folder, "-O ^extents,^64bit,^metadata_csum");
  Debugfs(path, "write /etc/hostname first\nsif /etc/one block[0] 5000\nsif /first block[0] 5000");
  const auto image = OpenVolume(path);
  ASSERT_TRUE(image->volume);
  const auto index = BuildIndex(image->volume->fs(), image->volume->io());
  ASSERT_FALSE(index);
  EXPECT_EQ(index.error().code, Errc::kCorrupt);
  EXPECT_THAT(index.error().message, HasSubstr("block 5000"));
}

class IndexCodecTest : public ::testing::Test {
 protected:
  void SetUp() override {
    image_ = OpenVolume(MakeImage(folder_, ""));
    ASSERT_TRUE(image_->volume);
    index_ = MustBuild(*image_->volume);
    bytes_ = EncodeIndex(index_, "master 7, partition 1");
  }

  ScratchFolder folder_;
  std::unique_ptr<testing::OpenImage> image_;
  Ext4Index index_;
  std::vector<std::byte> bytes_;
};

TEST_F(IndexCodecTest, ComesBackAsItWas) {
  const auto stored = DecodeIndex(bytes_);
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(stored->label, "master 7, partition 1");
  EXPECT_EQ(stored->index.shape(), index_.shape());
  EXPECT_TRUE(std::ranges::equal(stored->index.extents(), index_.extents()));
  EXPECT_EQ(EncodeIndex(stored->index, stored->label), bytes_);
}

TEST_F(IndexCodecTest, EveryFlippedByteIsNoticed) {
  for (size_t at = 0; at < bytes_.size(); at += at < 128 ? 1 : 97) {
    bytes_[at] ^= std::byte{0x10};
    EXPECT_FALSE(DecodeIndex(bytes_)) << "byte " << at;
    bytes_[at] ^= std::byte{0x10};
  }
}

TEST_F(IndexCodecTest, EveryTruncationIsNoticed) {
  for (size_t length = 0; length < bytes_.size(); length += 101) {
    EXPECT_FALSE(DecodeIndex(ConstBytes(bytes_).first(length))) << length;
  }
}

}  // namespace
}  // namespace mica::guest
