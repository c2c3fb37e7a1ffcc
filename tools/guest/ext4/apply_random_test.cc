// SPDX-License-Identifier: Apache-2.0
// Diff, apply and verify in one: what the kernel did to a copy of a master is found, carried out on
// another copy of the master through our own writer, and must give the same tree. Needs root for
// loop mounts. MICA_SEED replays one run.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "engine/base/prng.h"
#include "tools/guest/ext4/apply_test_support.h"
#include "tools/guest/ext4/diff.h"
#include "tools/guest/ext4/diff_test_changes.h"
#include "tools/guest/ext4/diff_test_support.h"
#include "tools/guest/ext4/walk.h"

namespace mica::guest {
namespace {

using testing::CopyImage;
using testing::LoopMount;
using testing::OpenVolume;
using testing::RandomChanges;
using testing::ScratchFolder;
using testing::Shell;

constexpr const char* kLayouts[] = {
    "-t ext4 -b 4096",
    "-t ext4 -b 1024",
    "-t ext3 -b 4096",
    "-t ext4 -b 4096 -I 512 -O inline_data,ea_inode",
    "-t ext4 -b 4096 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 4096 -O bigalloc -C 16384",
};

std::vector<uint64_t> Seeds() {
  if (const char* seed = std::getenv("MICA_SEED")) return {std::strtoull(seed, nullptr, 10)};
  std::vector<uint64_t> seeds(24);
  for (size_t i = 0; i < seeds.size(); ++i) seeds[i] = 1000 + i;
  return seeds;
}

class ApplyRandomTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: loop mounts need root";
  }
};

// Times of directories that only gained or lost names are the applier's.
bool IsOnlyATimeOfADirectory(const ChangedObject& change) {
  if (!change.before || !change.after || change.after->kind != ObjectKind::kDirectory) return false;
  Attributes attributes = change.before->attributes;
  attributes.modified = change.after->attributes.modified;
  return attributes == change.after->attributes;
}

void ExpectSameTree(const std::string& one, const std::string& two) {
  const auto left = OpenVolume(one);
  const auto right = OpenVolume(two);
  ASSERT_TRUE(left->volume && right->volume);
  auto walked = WalkVolumes(*left->volume, *right->volume, {.match = MatchBy::kPath});
  ASSERT_TRUE(walked) << walked.error().message;
  std::erase_if(walked->changes.objects, [](const ChangedObject& change) {
    const auto paths = [](const std::vector<Name>& names) {
      std::vector<std::string> all;
      for (const Name& name : names) all.push_back(name.path);
      return all;
    };
    const bool same_names = paths(change.names_before) == paths(change.names_after);
    return IsOnlyATimeOfADirectory(change) && same_names;
  });
  EXPECT_EQ(testing::Describe(walked->changes), std::vector<std::string>());
}

TEST_P(ApplyRandomTest, GivesTheTreeOfTheVm) {
  Prng random(GetParam());
  const char* layout = kLayouts[GetParam() % std::size(kLayouts)];
  SCOPED_TRACE(fmt::format("replay with MICA_SEED={} ({})", GetParam(), layout));
  const ScratchFolder folder;
  const std::string master = folder.Path("master");
  const std::string vm = folder.Path("vm");
  const std::string result = folder.Path("result");
  Shell(fmt::format("mke2fs -q {} {} 48M", layout, master));
  {
    const LoopMount mount(master, folder.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    RandomChanges(mount.path(), random).Run(400);
  }
  CopyImage(master, vm);
  CopyImage(master, result);
  {
    const LoopMount mount(vm, folder.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    RandomChanges(mount.path(), random).Run(30 + random.Below(150));
  }
  Plan plan;
  {
    const auto before = OpenVolume(master);
    const auto after = OpenVolume(vm);
    ASSERT_TRUE(before->volume && after->volume);
    const auto index = BuildIndex(before->volume->fs(), before->volume->io());
    ASSERT_TRUE(index) << index.error().message;
    const auto ours = DiffVolumes(
        {*before->volume, *index, *after->volume, testing::DifferingBlocks(master, vm)});
    ASSERT_TRUE(ours) << ours.error().message;
    plan = testing::PlanToRepeat(*ours);
  }
  testing::ApplyAndVerify(plan, master, result, vm);
  ExpectSameTree(vm, result);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ApplyRandomTest, ::testing::ValuesIn(Seeds()));

}  // namespace
}  // namespace mica::guest
