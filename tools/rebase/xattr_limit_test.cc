// SPDX-License-Identifier: Apache-2.0
// Extended attributes for which the new master's file system has no room.
#include "tools/rebase/xattr_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/rebase/testing/planner_fixture.h"

namespace mica::rebase {
namespace {

using guest::Xattrs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class XattrLimit : public PlannerFixture {
 protected:
  static Xattrs& XattrsOf(FakeTree& tree, std::string_view path) {
    return tree.Attributes(path).xattrs;
  }
  static Xattrs XattrsOf(const RebaseResult& result, std::string_view path) {
    return result.tree.At(path).object.attributes.xattrs;
  }
};

TEST_F(XattrLimit, WhatDoesNotFitTogetherIsAConflictOfThatPathAlone) {
  s_.theirs.LimitXattrs(40);
  for (const char* path : {"/a", "/b"}) {
    XattrsOf(s_.ours, path)["user.ours"] = "o";
    XattrsOf(s_.theirs, path)["user.theirs"] = "t";
  }
  XattrsOf(s_.ours, "/a")["user.ours"] = std::string(20, 'o');
  s_.theirs.Attributes("/a").mode = 0600;
  RebaseResult r = s_.Rebase();
  EXPECT_EQ(XattrsOf(r, "/a"), XattrsOf(s_.ours, "/a"));
  EXPECT_EQ(r.tree.At("/a").object.attributes.mode, 0600u);
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
  EXPECT_THAT(r.Entry("/a").detail, AllOf(HasSubstr("ours taken"), HasSubstr("user.theirs"),
                                          Not(HasSubstr("user.ours"))));
  EXPECT_EQ(XattrsOf(r, "/b").size(), 2u);
  EXPECT_EQ(r.Entry("/b").severity, Severity::kInfo);

  r = s_.Rebase("/a meta=theirs\n");
  EXPECT_EQ(XattrsOf(r, "/a"), XattrsOf(s_.theirs, "/a"));
  EXPECT_THAT(r.Entry("/a").detail, HasSubstr("user.ours"));
}

TEST_F(XattrLimit, WhatTheVmAloneHadIsCutToWhatFitsAccessRightsFirst) {
  s_.theirs.LimitXattrs(60);
  s_.ours.Write("/new", "new");
  for (const char* path : {"/a", "/new"}) {
    XattrsOf(s_.ours, path)["user.large"] = std::string(40, 'l');
    XattrsOf(s_.ours, path)["user.small"] = "s";
    XattrsOf(s_.ours, path)["security.capability"] = "c";
  }
  const RebaseResult r = s_.Rebase();
  for (const char* path : {"/a", "/new"}) {
    EXPECT_EQ(XattrsOf(r, path), (Xattrs{{"security.capability", "c"}, {"user.small", "s"}}));
    EXPECT_EQ(r.Entry(path).action, Action::kCarried);
    EXPECT_EQ(r.Entry(path).severity, Severity::kWarn);
    EXPECT_THAT(r.Entry(path).detail,
                AllOf(HasSubstr("no room"), HasSubstr("user.large"), Not(HasSubstr("user.small"))));
  }
}

TEST_F(XattrLimit, AccessRightsThatDoNotFitAreAnError) {
  s_.theirs.LimitXattrs(10);
  XattrsOf(s_.ours, "/a")["security.capability"] = "c";
  const RebaseResult r = s_.Rebase();
  EXPECT_TRUE(XattrsOf(r, "/a").empty());
  EXPECT_EQ(r.Entry("/a").severity, Severity::kError);
}

TEST_F(XattrLimit, WhatTheNewMasterHasFits) {
  XattrsOf(s_.theirs, "/a")["user.theirs"] = "there";
  s_.theirs.LimitXattrs(5);
  s_.ours.Attributes("/a").mode = 0600;
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(XattrsOf(r, "/a"), XattrsOf(s_.theirs, "/a"));
  EXPECT_EQ(r.Entry("/a").severity, Severity::kInfo);
}

TEST_F(XattrLimit, AVersionThatIsKeptBesideIsCutToo) {
  s_.theirs.LimitXattrs(20);
  s_.ours.Write("/a", "ours");
  XattrsOf(s_.ours, "/a")["user.large"] = std::string(20, 'l');
  s_.theirs.Write("/a", "theirs");
  const RebaseResult r = s_.Rebase("/a both=theirs save=beside\n");
  EXPECT_EQ(r.tree.Content("/a.mica-ours"), "ours");
  EXPECT_TRUE(XattrsOf(r, "/a.mica-ours").empty());
  EXPECT_THAT(r.Entry("/a").detail, HasSubstr("user.large"));
}

}  // namespace
}  // namespace mica::rebase
