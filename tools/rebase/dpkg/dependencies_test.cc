// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/dependencies.h"

#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

struct Case {
  const char* fields;  // of package "app"
  bool holds;
};

class Relations : public testing::TestWithParam<Case> {};

TEST_P(Relations, Hold) {
  const std::string status =
      "Package: app\nStatus: install ok installed\nVersion: 1\n" + std::string(GetParam().fields) +
      "\n\nPackage: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n"
      "Package: exim\nStatus: install ok installed\nVersion: 4\n"
      "Provides: mail-agent, smtp (= 3)\n\n"
      "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n";
  EXPECT_EQ(FindBrokenRelations(ParsePackages(status)).empty(), GetParam().holds)
      << GetParam().fields;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, Relations,
    testing::Values(Case{"Depends: libc6", true}, Case{"Depends: libc6:any (>= 2.36)", true},
                    Case{"Depends: libc6 (>> 2.36-9)", false},
                    Case{"Depends: libc6 (<< 2.37), exim", true},
                    Case{"Pre-Depends: libc6 (= 2.36-9)", true}, Case{"Depends: nothing", false},
                    Case{"Depends: nothing | exim (>= 4)", true}, Case{"Depends: mail-agent", true},
                    Case{"Depends: mail-agent (>= 1)", false}, Case{"Depends: smtp (>= 2)", true},
                    Case{"Depends: gone", false}, Case{"Breaks: libc6 (<< 2)", true},
                    Case{"Breaks: libc6 (<= 2.36-9)", false}, Case{"Conflicts: mail-agent", false},
                    Case{"Conflicts: gone", true},
                    Case{"Provides: mail-x\nConflicts: mail-x", true},
                    Case{"Depends: libc6,\n exim (>= 5)", false}));

}  // namespace
}  // namespace mica::rebase
