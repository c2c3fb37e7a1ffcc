// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/fat/fat_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "engine/base/prng.h"
#include "tools/guest/ext4/diff_test_support.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest::testing {
namespace {

using ::testing::ElementsAre;

// A file system of `options`, with what mtools put there.
class FatImage {
 public:
  FatImage(const std::string& options, uint64_t bytes) : path_(scratch_.Path("fat.img")) {
    const UniqueFd file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
    Shell(fmt::format("mkfs.fat {} -n LABEL {}", options, path_));
    Shell(fmt::format("mmd -i {0} ::/EFI ::/EFI/debian", path_));
    Copy("one", "::/EFI/debian/a long name of a file with ünïcode.cfg");
    Copy(std::string(70'000, 'x'), "::/SHORT.TXT");
    Copy("", "::/EFI/empty");
  }

  void Copy(const std::string& content, const std::string& target) {
    std::ofstream(scratch_.Path("source")) << content;
    Shell(fmt::format("LC_ALL=C.UTF-8 mcopy -o -i {} {} '{}'", path_, scratch_.Path("source"),
                      target));
  }

  Result<FatTree> Read() {
    FileDevice device(path_);
    SyncDevice sync(loop_, device);
    return ReadFatTree(sync);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] MemoryLoop& loop() { return loop_; }

 private:
  ScratchFolder scratch_;
  std::string path_;
  MemoryLoop loop_;
};

struct Kind {
  const char* name;
  const char* options;
  uint64_t bytes;
};

class FatTreeTest : public ::testing::TestWithParam<Kind> {
 protected:
  FatTreeTest() : image_(GetParam().options, GetParam().bytes) {}
  FatImage image_;
};

TEST_P(FatTreeTest, NamesFilesAndWhatChanged) {
  const auto before = image_.Read();
  ASSERT_TRUE(before) << before.error().message;
  std::vector<std::string> paths;
  for (const auto& [path, file] : *before) paths.push_back(path);
  EXPECT_THAT(paths, ElementsAre("/EFI", "/EFI/debian",
                                 "/EFI/debian/a long name of a file with ünïcode.cfg", "/EFI/empty",
                                 "/SHORT.TXT"));
  EXPECT_EQ(before->at("/SHORT.TXT").size, 70'000u);
  EXPECT_TRUE(before->at("/EFI").directory);
  image_.Copy(std::string(69'999, 'x') + "y", "::/SHORT.TXT");
  image_.Copy("new", "::/EFI/debian/grub.cfg");
  Shell(fmt::format("mdel -i {} ::/EFI/empty", image_.path()));
  const auto after = image_.Read();
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_THAT(
      CompareFatTrees(*before, *after),
      ElementsAre("added /EFI/debian/grub.cfg", "changed /SHORT.TXT", "removed /EFI/empty"));
  EXPECT_TRUE(CompareFatTrees(*after, *after).empty());
}

TEST_P(FatTreeTest, RandomDamageNeverDoesMoreThanFail) {
  const char* const chosen = std::getenv("MICA_SEED");
  const uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  SCOPED_TRACE(fmt::format("MICA_SEED={}", seed));
  Prng prng(seed);
  FileDevice device(image_.path());
  size_t read = 0;
  for (int round = 0; round < 300; ++round) {
    OverlayDevice overlay(device);
    SyncDevice sync(image_.loop(), overlay);
    for (uint64_t i = 1 + prng.Below(6); i > 0; --i) {
      const std::byte value[] = {static_cast<std::byte>(prng.OneIn(2) ? 0xff : prng.Next())};
      const uint64_t at = prng.OneIn(3) ? prng.Below(90) : prng.Below(300'000);
      ASSERT_TRUE(sync.Write(at, value));
    }
    const auto tree = ReadFatTree(sync);
    if (tree) ++read;
  }
  EXPECT_GT(read, 0u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, FatTreeTest,
                         ::testing::Values(Kind{"Fat12", "-F 12", 4 << 20},
                                           Kind{"Fat16", "-F 16", 16 << 20},
                                           Kind{"Fat32", "-F 32 -s 1", 40 << 20}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(FatTree, ALoopOfDirectoriesIsAnError) {
  FatImage image("-F 16", 16 << 20);
  // "debian" in "EFI" gets the cluster of "EFI", which is the first.
  std::ifstream file(image.path(), std::ios::binary);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  const size_t entry = content.find("DEBIAN     ");
  ASSERT_NE(entry, std::string::npos);
  const std::byte cluster[] = {std::byte{2}, std::byte{0}};
  WriteAt(image.path(), entry + 26, cluster);
  const auto read = image.Read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace mica::guest::testing
