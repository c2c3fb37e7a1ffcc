// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/id_map.h"

#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

const AccountTexts kBase = {"root:x:0:0:root:/root:/bin/bash\n_apt:x:42:65534::/nonexistent:/x\n",
                            "root:x:0:\nssh-cert:x:109:\n"};

AccountTexts With(const char* passwd, const char* group) {
  return {kBase.passwd + passwd, kBase.group + group};
}

TEST(MapIds, NothingToDo) {
  const IdMapping mapping = MapIds(kBase, With("a:x:100:100::/:/x\n", "a:x:100:\n"),
                                   With("b:x:101:101::/:/x\n", "b:x:101:\n"));
  EXPECT_TRUE(mapping.map.empty());
  EXPECT_TRUE(mapping.collisions.empty());
}

TEST(MapIds, SystemCollisionsGetAFreeNumberForUserAndGroupAlike) {
  const IdMapping mapping =
      MapIds(kBase, With("sshd:x:100:65534::/:/x\nme:x:101:101::/:/x\n", "me:x:101:\n"),
             With("messagebus:x:100:102::/:/x\nother:x:101:101::/:/x\n", "other:x:101:\n"));
  ASSERT_EQ(mapping.collisions.size(), 3u);
  EXPECT_EQ(mapping.map.User(100), 998u);  // "me" came first, by name
  EXPECT_EQ(mapping.map.User(101), 999u);
  EXPECT_EQ(mapping.map.Group(101), 999u);
  EXPECT_EQ(mapping.map.User(0), 0u);
  for (const IdCollision& collision : mapping.collisions) EXPECT_TRUE(collision.resolved());
}

TEST(MapIds, OneNameWithTwoNumbersTakesTheirs) {
  const IdMapping mapping = MapIds(kBase, With("sshd:x:100:65534::/:/x\nzz:x:105:1::/:/x\n", ""),
                                   With("sshd:x:105:65534::/:/x\n", ""));
  EXPECT_EQ(mapping.map.User(100), 105u);
  EXPECT_EQ(mapping.map.User(105), 999u);
}

TEST(MapIds, PeopleAreNeverRenumbered) {
  const IdMapping mapping = MapIds(kBase, With("ann:x:1000:1000::/home/ann:/x\n", ""),
                                   With("bob:x:1000:1000::/home/bob:/x\n", ""));
  ASSERT_EQ(mapping.collisions.size(), 1u);
  EXPECT_FALSE(mapping.collisions[0].resolved());
  EXPECT_EQ(mapping.collisions[0].against, "bob");
  EXPECT_EQ(mapping.map.User(1000), 1000u);
}

TEST(MapIds, LinesThatAreNoAccountsAreIgnored) {
  const IdMapping mapping =
      MapIds({}, {"+::::::\n:\nx\na:x:abc:1::\n", "a:x::\n"}, {"a:x:1:1\n", ""});
  EXPECT_TRUE(mapping.collisions.empty());
}

}  // namespace
}  // namespace mica::rebase
