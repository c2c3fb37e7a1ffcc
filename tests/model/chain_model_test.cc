// SPDX-License-Identifier: Apache-2.0
// Random operations on chains against a reference disk, through the memory host and through real
// files with every I/O engine.
//
//   chain_model_test [--seeds N] [--seed S] [GoogleTest options]
//
// N seeds for each host, from S on; a failure names its seed.
#include "tests/model/chain_model.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "tests/conformance/block_file_fixture.h"

namespace mica::testing {
namespace {

uint64_t seeds = 2;
uint64_t first_seed = 1;
constexpr uint32_t kRounds = 150;

constexpr HostCase kHosts[] = {
    {"memory", true, IoEngineKind::kAuto, true},
    {"memory_delays", true, IoEngineKind::kAuto, true, true},
    {"uring", false, IoEngineKind::kUring, true},
    {"aio", false, IoEngineKind::kAio, true},
    {"pread", false, IoEngineKind::kPread, true},
};

class ChainModelTest : public ::testing::TestWithParam<HostCase> {};

TEST_P(ChainModelTest, ReadsAsTheReferenceDisk) {
  for (uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    auto world = MakeHostWorld(GetParam());
    if (!world && world.error().code == Errc::kUnsupported) GTEST_SKIP() << world.error().message;
    ASSERT_TRUE(world) << world.error().message;
    ChainModel model((*world)->host(), (*world)->directory(), seed);
    ASSERT_EQ(model.Run(kRounds), "") << "seed " << seed << "; to repeat: chain_model_test --seed "
                                      << seed << " --seeds 1 --gtest_filter=*/" << GetParam().name;
  }
}

INSTANTIATE_TEST_SUITE_P(Hosts, ChainModelTest, ::testing::ValuesIn(kHosts), HostCaseName);

void TakeOptions(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--seeds") == 0) seeds = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--seed") == 0) first_seed = std::strtoull(argv[i + 1], nullptr, 10);
  }
}

}  // namespace
}  // namespace mica::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  mica::testing::TakeOptions(argc, argv);
  return RUN_ALL_TESTS();
}
