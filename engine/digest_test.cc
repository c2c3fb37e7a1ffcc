// SPDX-License-Identifier: Apache-2.0
#include "engine/digest.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "engine/base/prng.h"

namespace mica {
namespace {

std::vector<std::byte> RandomBytes(size_t size) {
  Prng prng(size + 1);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(prng.Below(256));
  return bytes;
}

// Whatever code of the library computes them, files of one host have to open on another.
TEST(Digest, AreTheHashesThatTheFormatNames) {
  const std::vector<std::byte> bytes = RandomBytes(9000);
  for (size_t size = 0; size < bytes.size(); size += size < 600 ? 1 : 211) {
    const ConstBytes block = ConstBytes(bytes).first(size);
    ASSERT_EQ(DigestBlock(block), XXH3_64bits(block.data(), block.size())) << size;
  }
  EXPECT_EQ(DigestBlock({}), 0x2d06800538d394c2u);  // from the specification
}

TEST(Digest, OfAStreamInPieces) {
  const std::vector<std::byte> bytes = RandomBytes(100'000);
  XXH128_canonical_t wanted;
  XXH128_canonicalFromHash(&wanted, XXH3_128bits(bytes.data(), bytes.size()));
  for (const size_t piece : {size_t{1}, size_t{255}, size_t{4096}, bytes.size()}) {
    StreamDigest digest;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      digest.Update(ConstBytes(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
    const std::array<uint8_t, 16> found = digest.Finish();
    EXPECT_TRUE(std::ranges::equal(found, wanted.digest)) << piece;
  }
}

TEST(Digest, TheFirstBlockThatDiffersIsFound) {
  std::vector<std::byte> bytes = RandomBytes(3 * 4096 + 100);
  std::vector<BlockDigest> digests;
  for (size_t at = 0; at < bytes.size(); at += 4096) {
    digests.push_back(
        DigestBlock(ConstBytes(bytes).subspan(at, std::min<size_t>(4096, bytes.size() - at))));
  }
  EXPECT_EQ(FirstMismatch(bytes, 4096, digests), std::nullopt);
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(FirstMismatch(bytes, 4096, digests), 3u);
  bytes[4096] ^= std::byte{1};
  EXPECT_EQ(FirstMismatch(bytes, 4096, digests), 1u);
}

}  // namespace
}  // namespace mica
