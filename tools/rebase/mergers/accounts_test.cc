// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/accounts.h"

#include <gtest/gtest.h>

#include "tools/rebase/id_map.h"

namespace mica::rebase {
namespace {

const std::string kPasswd =
    "root:x:0:0:root:/root:/bin/bash\n"
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";

TEST(MergePasswd, BothAddAndOursIsRenumbered) {
  IdMap ids;
  ids.MapUser(100, 999);
  MergeInput input = {"/etc/passwd", kPasswd, "", "", {}};
  const std::string ours = kPasswd + "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n" +
                           "ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\n";
  const std::string theirs = kPasswd + "messagebus:x:100:102::/nonexistent:/usr/sbin/nologin\n";
  input.ours = ours;
  input.theirs = theirs;
  input.context.ids = &ids;
  const MergeOutput output = MergePasswd(input);
  ASSERT_TRUE(output.merged.has_value());
  EXPECT_TRUE(output.conflicts.empty());
  EXPECT_EQ(*output.merged, kPasswd + "sshd:x:999:65534::/run/sshd:/usr/sbin/nologin\n" +
                                "ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\n" +
                                "messagebus:x:100:102::/nonexistent:/usr/sbin/nologin\n");
}

TEST(MergePasswd, FieldsMergeAndConflictsTakeOurs) {
  const std::string base = "root:x:0:0:root:/root:/bin/sh\n";
  MergeInput input = {"/etc/passwd",
                      base,
                      "root:x:0:0:root:/root:/bin/zsh\n",
                      "root:x:0:0:Super:/root:/bin/sh\n",
                      {}};
  EXPECT_EQ(*MergePasswd(input).merged, "root:x:0:0:Super:/root:/bin/zsh\n");
  input.theirs = "root:x:0:0:root:/root:/bin/bash\n";
  const MergeOutput output = MergePasswd(input);
  EXPECT_EQ(*output.merged, "root:x:0:0:root:/root:/bin/zsh\n");
  ASSERT_EQ(output.conflicts.size(), 1u);
  EXPECT_EQ(output.conflicts[0], "user root: both changed field 7; ours taken");
}

TEST(MergeGroup, MembersAreASet) {
  const MergeOutput output = MergeGroup({"/etc/group",
                                         "sudo:x:27:old\nadm:x:4:\n",
                                         "sudo:x:27:old,ann\nadm:x:4:\nann:x:1000:\n",
                                         "sudo:x:27:bob\nadm:x:4:syslog\n",
                                         {}});
  ASSERT_TRUE(output.merged.has_value());
  EXPECT_EQ(*output.merged, "sudo:x:27:bob,ann\nadm:x:4:syslog\nann:x:1000:\n");
  EXPECT_TRUE(output.conflicts.empty());
}

TEST(MergeShadow, BothMadeTheSameServiceUserOnDifferentDays) {
  const MergeOutput output = MergeShadow({"/etc/shadow",
                                          "root:*:19000:0:99999:7:::\n",
                                          "root:$y$hash:19500:0:99999:7:::\nsshd:!:19501::::::\n",
                                          "root:*:19000:0:99999:7:::\nsshd:!:19400::::::\n",
                                          {}});
  ASSERT_TRUE(output.merged.has_value());
  EXPECT_EQ(*output.merged, "root:$y$hash:19500:0:99999:7:::\nsshd:!:19501::::::\n");
  EXPECT_TRUE(output.conflicts.empty());
}

TEST(MergeShadow, RemovedByOneChangedByTheOtherIsKeptAndTold) {
  const MergeOutput output = MergeShadow(
      {"/etc/shadow", "a:*:1::::::\nb:*:1::::::\n", "b:*:1::::::\n", "a:x:1::::::\n", {}});
  EXPECT_EQ(*output.merged, "a:x:1::::::\n");
  EXPECT_EQ(output.conflicts.size(), 1u);
}

TEST(MergeSubordinateIds, OverlapIsAConflict) {
  const MergeOutput output =
      MergeSubordinateIds({"/etc/subuid", "", "ann:100000:65536\n", "bob:100000:65536\n", {}});
  EXPECT_EQ(*output.merged, "ann:100000:65536\nbob:100000:65536\n");
  ASSERT_EQ(output.conflicts.size(), 1u);
}

TEST(MergeGshadow, AdminsAndMembers) {
  const MergeOutput output =
      MergeGshadow({"/etc/gshadow", "sudo:*::\n", "sudo:*::ann\n", "sudo:*:root:\n", {}});
  EXPECT_EQ(*output.merged, "sudo:*:root:ann\n");
}

}  // namespace
}  // namespace mica::rebase
