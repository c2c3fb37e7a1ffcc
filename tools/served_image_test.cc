// SPDX-License-Identifier: Apache-2.0
#include "tools/served_image.h"

#include <gtest/gtest.h>

namespace mica {
namespace {

TEST(ParseExportTest, TheNameIsTheFilesUnlessGiven) {
  EXPECT_EQ(ParseExport("vm1.mica").name, "vm1");
  EXPECT_EQ(ParseExport("/srv/vms/vm1.old.mica").name, "vm1.old");
  EXPECT_EQ(ParseExport("/srv/vms/vm1.old.mica").path, "/srv/vms/vm1.old.mica");
  EXPECT_EQ(ParseExport("disk").name, "disk");
  EXPECT_EQ(ParseExport("web=/srv/vm1.mica").name, "web");
  EXPECT_EQ(ParseExport("web=/srv/vm1.mica").path, "/srv/vm1.mica");
  EXPECT_EQ(ParseExport("=vm1.mica").name, "");
}

TEST(ParseExportTest, AnEqualsSignOfADirectoryIsNoName) {
  EXPECT_EQ(ParseExport("./a=b.mica").path, "./a=b.mica");
  EXPECT_EQ(ParseExport("./a=b.mica").name, "a=b");
  EXPECT_EQ(ParseExport("vm=./a=b.mica").path, "./a=b.mica");
  EXPECT_EQ(ParseExport("vm=./a=b.mica").name, "vm");
}

}  // namespace
}  // namespace mica
