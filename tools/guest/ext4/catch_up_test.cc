// SPDX-License-Identifier: Apache-2.0
// Catching up against carrying out from the start: what the kernel did to a copy of a master is
// carried out on another copy, the kernel does more, and the result catches up with it. It must be
// what the second plan says, and the VM's own tree.
#include "tools/guest/catch_up.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tools/guest/ext4/apply_and_verify.h"
#include "tools/guest/ext4/apply_test_support.h"
#include "tools/guest/ext4/content_since.h"
#include "tools/guest/ext4/random_test_support.h"
#include "tools/guest/ext4/writer.h"

namespace mica::guest {
namespace {

using testing::CopyImage;
using testing::DifferingBlocks;
using testing::OpenVolume;
using testing::Shell;

class CatchUpRandomTest : public testing::RandomTest {
 protected:
  // False when it could not be caught up.
  bool BringTo(const Plan& earlier, const Plan& later, const std::string& earlier_vm);
  void ExpectAsPlanned(const Plan& later);

  const std::string master_ = folder_.Path("master");
  const std::string vm_ = folder_.Path("vm");
  const std::string result_ = folder_.Path("result");
  ApplyResult applied_;
  size_t steps_ = 0;
};

bool CatchUpRandomTest::BringTo(const Plan& earlier, const Plan& later,
                                const std::string& earlier_vm) {
  const auto master = OpenVolume(master_);
  const auto index = BuildIndex(master->volume->fs(), master->volume->io());
  const auto then = OpenVolume(earlier_vm);
  const auto now = OpenVolume(vm_);
  const auto writable = OpenVolume(result_, Ext4Access::kReadWrite);
  if (!index || !then->volume || !now->volume || !writable->volume) {
    ADD_FAILURE() << "the volumes do not open";
    return false;
  }
  ContentSince content(*then->volume, *now->volume, DifferingBlocks(earlier_vm, vm_));
  const CatchUpTarget target{*master->volume, *index};
  const CatchUpInput input{earlier, later, target, *now->volume,
                           [&](uint64_t inode) { return content.Of(inode); }};
  Ext4Writer writer(*writable->volume, {.now = {1'700'000'100, 5}, .generation_seed = 100});
  Result<CaughtUp> done =
      CatchUpWith(input, *writable->volume, writer, {.now = {1'700'000'100, 5}});
  if (!done) {
    EXPECT_EQ(done.error().code, Errc::kMismatch) << done.error().message;
    return false;
  }
  applied_ = std::move(done->applied);
  steps_ = done->steps;
  const auto closed = writable->volume->Close();
  EXPECT_TRUE(closed) << closed.error().message;
  return true;
}

void CatchUpRandomTest::ExpectAsPlanned(const Plan& later) {
  // What e2fsck 1.47.0 says of the VM's own disk is not our doing.
  const bool trusts_kernel =
      std::system(fmt::format("e2fsck -fn {} >/dev/null 2>&1", vm_).c_str()) == 0;
  if (trusts_kernel) Shell(fmt::format("e2fsck -fn {}", result_));
  const auto master = OpenVolume(master_);
  const auto index = BuildIndex(master->volume->fs(), master->volume->io());
  const auto finished = OpenVolume(result_);
  const auto vm = OpenVolume(vm_);
  ASSERT_TRUE(index && finished->volume && vm->volume);
  const auto found = VerifyResult({later, applied_, *master->volume, *index, *finished->volume,
                                   DifferingBlocks(master_, result_), *vm->volume});
  ASSERT_TRUE(found) << found.error().message;
  for (const Discrepancy& one : *found) ADD_FAILURE() << one.path << ": " << one.what;
}

TEST_P(CatchUpRandomTest, GivesWhatTheLaterPlanSays) {
  MakeMaster(master_);
  CopyImage(master_, vm_);
  CopyImage(master_, result_);
  Change(vm_, 100 + random_.Below(100));
  const std::string then = folder_.Path("then");
  CopyImage(vm_, then);
  const Plan earlier = testing::PlanBetween(master_, then);
  testing::ApplyAndVerify(earlier, master_, result_, then);
  Change(vm_, 1 + random_.Below(20));
  const Plan later = testing::PlanBetween(master_, vm_);
  if (!BringTo(earlier, later, then)) {
    if (!HasFailure()) GTEST_SUCCEED() << "had to start over";
    return;
  }
  RecordProperty("steps", static_cast<int>(steps_));
  RecordProperty("planned", static_cast<int>(later.objects.size()));
  ExpectAsPlanned(later);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CatchUpRandomTest, ::testing::ValuesIn(testing::Seeds(7000, 12)));

}  // namespace
}  // namespace mica::guest
