// SPDX-License-Identifier: Apache-2.0
// Diff, apply and verify in one: what the kernel did to a copy of a master is found, carried out on
// another copy of the master through our own writer, and must give the same tree.
#include <gtest/gtest.h>

#include "tools/guest/ext4/apply_test_support.h"
#include "tools/guest/ext4/random_test_support.h"
#include "tools/guest/walk.h"

namespace mica::guest {
namespace {

using testing::CopyImage;
using testing::OpenVolume;

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

class ApplyRandomTest : public testing::RandomTest {};

TEST_P(ApplyRandomTest, GivesTheTreeOfTheVm) {
  const std::string master = folder_.Path("master");
  const std::string vm = folder_.Path("vm");
  const std::string result = folder_.Path("result");
  MakeMaster(master);
  CopyImage(master, vm);
  CopyImage(master, result);
  Change(vm, 30 + random_.Below(150));
  testing::ApplyAndVerify(testing::PlanBetween(master, vm), master, result, vm);
  ExpectSameTree(vm, result);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ApplyRandomTest, ::testing::ValuesIn(testing::Seeds(1000, 24)));

}  // namespace
}  // namespace mica::guest
