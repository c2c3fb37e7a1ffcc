// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/exit_status.h"

#include <gtest/gtest.h>

namespace mica {
namespace {

ExitStatus StatusOf(Errc code) {
  return ExitStatusOf(Error{code, "text"});
}

TEST(ExitStatusTest, ScriptsCanTellTheKindsApart) {
  EXPECT_EQ(StatusOf(Errc::kInvalidArgument), ExitStatus::kUsage);
  EXPECT_EQ(StatusOf(Errc::kBusy), ExitStatus::kBusy);
  EXPECT_EQ(StatusOf(Errc::kMismatch), ExitStatus::kMismatch);
  EXPECT_EQ(StatusOf(Errc::kNoSpace), ExitStatus::kNoSpace);
}

TEST(ExitStatusTest, EverythingElseIsAnError) {
  for (const Errc code :
       {Errc::kIo, Errc::kCorrupt, Errc::kUnsupported, Errc::kOutOfRange, Errc::kReadOnly,
        Errc::kNotFound, Errc::kExists, Errc::kLimit, Errc::kCancelled}) {
    EXPECT_EQ(StatusOf(code), ExitStatus::kError) << ErrcName(code);
  }
}

TEST(ExitStatusTest, AnInvalidArgumentOfTheHostIsNotBadUsage) {
  EXPECT_EQ(ExitStatusOf(ErrnoError(EINVAL, "disk.img: read")), ExitStatus::kError);
}

TEST(ExitStatusTest, TheNumbersAreTheDocumentedOnes) {
  EXPECT_EQ(static_cast<int>(ExitStatus::kDone), 0);
  EXPECT_EQ(static_cast<int>(ExitStatus::kError), 1);
  EXPECT_EQ(static_cast<int>(ExitStatus::kUsage), 2);
  EXPECT_EQ(static_cast<int>(ExitStatus::kConflicts), 3);
  EXPECT_EQ(static_cast<int>(ExitStatus::kFitWorse), 4);
  EXPECT_EQ(static_cast<int>(ExitStatus::kBusy), 5);
  EXPECT_EQ(static_cast<int>(ExitStatus::kMismatch), 6);
  EXPECT_EQ(static_cast<int>(ExitStatus::kNoSpace), 7);
}

}  // namespace
}  // namespace mica
