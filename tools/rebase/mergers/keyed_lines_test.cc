// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/keyed_lines.h"

#include <gtest/gtest.h>

#include "tools/rebase/id_map.h"
#include "tools/rebase/mergers/records.h"

namespace mica::rebase {
namespace {

TEST(MergeSet, AddsAndRemoves) {
  EXPECT_EQ(MergeSet("a,b,c", "a,c,d", "b,c,e", ","), "c,e,d");
  EXPECT_EQ(MergeSet("", "", "", ","), "");
}

TEST(MergeHosts, NamesOfAnAddressAreASet) {
  const MergeOutput output = MergeHosts({"/etc/hosts",
                                         "127.0.0.1\tlocalhost\n127.0.1.1\tmaster\n",
                                         "127.0.0.1\tlocalhost\n127.0.1.1\tvm42\n10.0.0.5\tnas\n",
                                         "127.0.0.1\tlocalhost build\n127.0.1.1\tmaster\n",
                                         {}});
  EXPECT_EQ(*output.merged, "127.0.0.1\tlocalhost build\n127.0.1.1\tvm42\n10.0.0.5\tnas\n");
  EXPECT_TRUE(output.conflicts.empty());
}

TEST(MergeStatOverride, ByPathWithNumbers) {
  IdMap ids;
  ids.MapUser(100, 998);
  MergeInput input = {"/var/lib/dpkg/statoverride",
                      "root ssl-cert 710 /etc/ssl/private\n",
                      "root ssl-cert 710 /etc/ssl/private\n#100 root 755 /srv/x\n",
                      "root ssl-cert 710 /etc/ssl/private\nroot messagebus 4754 /usr/lib/d\n",
                      {}};
  input.context.ids = &ids;
  EXPECT_EQ(*MergeStatOverride(input).merged,
            "root ssl-cert 710 /etc/ssl/private\n#998 root 755 /srv/x\n"
            "root messagebus 4754 /usr/lib/d\n");
}

TEST(MergeDiversions, ThreeLinesEach) {
  const MergeOutput output = MergeDiversions({"/var/lib/dpkg/diversions",
                                              "/a\n/a.d\ndash\n",
                                              "/a\n/a.d\ndash\n/b\n/b.d\n:\n",
                                              "/a\n/a.d\ndash\n/c\n/c.d\nx\n",
                                              {}});
  EXPECT_EQ(*output.merged, "/a\n/a.d\ndash\n/b\n/b.d\n:\n/c\n/c.d\nx\n");
  EXPECT_FALSE(MergeDiversions({"/d", "", "/a\n/b\n", "", {}}).merged.has_value());
}

TEST(MergeHosts, BlankLinesAndCommentsStayWhereTheyAre) {
  const std::string base = "# hosts\n\n127.0.0.1\tlocalhost\n\n::1\tlocalhost\n";
  const MergeOutput output =
      MergeHosts({"/etc/hosts", base, base + "10.0.0.5\tnas\n", "# first\n" + base, {}});
  EXPECT_EQ(*output.merged, "# first\n" + base + "10.0.0.5\tnas\n");
}

TEST(MergeLineSet, KeepsOrderAndAddsTheMissingLineFeed) {
  EXPECT_EQ(*MergeLineSet({"/etc/shells",
                           "/bin/sh\n/bin/bash",
                           "/bin/sh\n/bin/bash\n/bin/zsh",
                           "/bin/sh\n/bin/bash\n/bin/fish\n",
                           {}})
                 .merged,
            "/bin/sh\n/bin/bash\n/bin/zsh\n/bin/fish\n");
}

}  // namespace
}  // namespace mica::rebase
