// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/alternatives.h"

#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

const std::string kHead = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n";
const std::string kEd = "/bin/ed\n-100\n/usr/share/man/man1/ed.1.gz\n";
const std::string kNano = "/bin/nano\n40\n/usr/share/man/man1/nano.1.gz\n";
const std::string kVim = "/usr/bin/vim.basic\n30\n\n";

TEST(Alternatives, RoundTrip) {
  const std::string text = kHead + kEd + kVim + "\n";
  const auto group = AlternativeGroup::Parse(text);
  ASSERT_TRUE(group.has_value());
  EXPECT_EQ(group->choices.at("/usr/bin/vim.basic").slaves.size(), 0u);
  EXPECT_EQ(group->Format(), text);
  EXPECT_EQ(group->Best(), "/usr/bin/vim.basic");
}

TEST(Alternatives, BothRegisterAChoice) {
  const MergeOutput output = MergeAlternatives({"/var/lib/dpkg/alternatives/editor",
                                                kHead + kEd + "\n",
                                                kHead + kEd + kVim + "\n",
                                                kHead + kEd + kNano + "\n",
                                                {}});
  ASSERT_TRUE(output.merged.has_value());
  EXPECT_TRUE(output.conflicts.empty());
  EXPECT_EQ(*output.merged, kHead + kEd + kNano + kVim + "\n");
  EXPECT_EQ(AlternativeGroup::Parse(*output.merged)->Best(), "/bin/nano");
}

TEST(Alternatives, NewOnBothSidesWithDifferentSlaves) {
  const MergeOutput output =
      MergeAlternatives({"/g",
                         "",
                         "auto\n/usr/bin/x\n\n/a\n1\n\n",
                         "auto\n/usr/bin/x\nx.1\n/man/x.1\n\n/b\n2\n/man/b.1\n\n",
                         {}});
  ASSERT_TRUE(output.merged.has_value());
  EXPECT_EQ(*output.merged, "auto\n/usr/bin/x\nx.1\n/man/x.1\n\n/a\n1\n\n/b\n2\n/man/b.1\n\n");
}

TEST(Alternatives, RefusesOtherTexts) {
  EXPECT_FALSE(AlternativeGroup::Parse("nonsense\n").has_value());
  EXPECT_FALSE(MergeAlternatives({"/g", "", "auto\n/x\n", "auto\n/x\n\n\n", {}}).merged);
}

}  // namespace
}  // namespace mica::rebase
