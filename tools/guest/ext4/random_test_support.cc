// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/random_test_support.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "tools/guest/ext4/diff_test_changes.h"

namespace mica::guest::testing {

namespace {

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

}  // namespace

std::vector<uint64_t> Seeds(uint64_t first, size_t count) {
  if (const char* seed = std::getenv("MICA_SEED")) return {std::strtoull(seed, nullptr, 10)};
  std::vector<uint64_t> seeds(count);
  for (size_t i = 0; i < count; ++i) seeds[i] = first + i;
  return seeds;
}

RandomTest::RandomTest()
    : trace_(__FILE__, __LINE__,
             fmt::format("replay with MICA_SEED={} ({})", GetParam(), Layout())) {}

void RandomTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: loop mounts need root";
}

const char* RandomTest::Layout() const {
  return kLayouts[GetParam() % std::size(kLayouts)];
}

void RandomTest::MakeMaster(const std::string& image) {
  Shell(fmt::format("mke2fs -q {} {} 48M", Layout(), image));
  Change(image, 400);
}

void RandomTest::Change(const std::string& image, uint64_t count) {
  const LoopMount mount(image, folder_.Path("mnt"));
  ASSERT_TRUE(mount.mounted());
  RandomChanges(mount.path(), random_).Run(count);
}

}  // namespace mica::guest::testing
