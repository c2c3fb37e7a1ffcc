// SPDX-License-Identifier: Apache-2.0
#include "engine/digest.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace mica {

BlockDigest DigestBlock(ConstBytes block) noexcept {
  return XXH3_64bits(block.data(), block.size());
}

std::optional<size_t> FirstMismatch(ConstBytes content, size_t block_bytes,
                                    std::span<const BlockDigest> digests) noexcept {
  size_t index = 0;
  for (size_t at = 0; at < content.size(); at += block_bytes, ++index) {
    const ConstBytes block = content.subspan(at, std::min(block_bytes, content.size() - at));
    if (DigestBlock(block) != digests[index]) return index;
  }
  return std::nullopt;
}

void StreamDigest::Free::operator()(XXH3_state_s* state) const noexcept {
  static_cast<void>(XXH3_freeState(state));
}

StreamDigest::StreamDigest() : state_(XXH3_createState()) {
  XXH3_128bits_reset(state_.get());
}

void StreamDigest::Update(ConstBytes bytes) noexcept {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

std::array<uint8_t, 16> StreamDigest::Finish() const noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
  std::array<uint8_t, 16> digest{};
  std::memcpy(digest.data(), canonical.digest, digest.size());
  return digest;
}

}  // namespace mica
