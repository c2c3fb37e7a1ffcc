// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target on every file of its corpus, and on cut and flipped versions of each, where
// there is no libFuzzer: so that the targets and what they once found stay in the test suite.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "engine/base/prng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kVariantsPerFile = 200;

void RunVariants(std::vector<uint8_t> input, uint64_t seed) {
  mica::Prng prng(seed);
  LLVMFuzzerTestOneInput(input.data(), input.size());
  for (int i = 0; i < kVariantsPerFile && !input.empty(); ++i) {
    std::vector<uint8_t> variant = input;
    for (uint64_t flips = 1 + prng.Below(4); flips > 0; --flips) {
      variant[prng.Below(variant.size())] = static_cast<uint8_t>(prng.Next());
    }
    if (prng.OneIn(4)) variant.resize(prng.Below(variant.size()) + 1);
    LLVMFuzzerTestOneInput(variant.data(), variant.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      RunVariants({bytes.begin(), bytes.end()}, ++files);
    }
  }
  std::printf("%zu corpus files\n", files);
  return files > 0 ? 0 : 1;
}
