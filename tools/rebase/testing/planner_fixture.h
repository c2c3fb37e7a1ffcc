// SPDX-License-Identifier: Apache-2.0
// A small tree of which the VM and the patch each have a copy to change.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tools/rebase/testing/scenario.h"

namespace mica::rebase {

class PlannerFixture : public testing::Test {
 protected:
  PlannerFixture() {
    for (const char* directory : {"/d", "/e", "/d/sub"}) s_.base.Mkdir(directory);
    for (const char* file : {"/a", "/b", "/d/x", "/d/y", "/d/sub/z"}) {
      s_.base.Write(file, std::string("base of ") + file);
    }
    s_.Branch();
  }

  Scenario s_;
};

}  // namespace mica::rebase
