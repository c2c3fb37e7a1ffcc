// SPDX-License-Identifier: Apache-2.0
// For tests of what the kernel made at random: a case for each seed, on a file system of the kind
// that the seed says. Without root they are skipped. MICA_SEED replays one.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/prng.h"
#include "tools/guest/ext4/diff_test_support.h"

namespace mica::guest::testing {

// As many as that, from the first on; the one that MICA_SEED names, if it is set.
std::vector<uint64_t> Seeds(uint64_t first, size_t count);

class RandomTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  RandomTest();
  void SetUp() override;

  // A new file system with something in it.
  void MakeMaster(const std::string& image);
  // The kernel changes the image.
  void Change(const std::string& image, uint64_t count);

  Prng random_{GetParam()};
  const ScratchFolder folder_;

 private:
  [[nodiscard]] const char* Layout() const;

  ::testing::ScopedTrace trace_;
};

}  // namespace mica::guest::testing
