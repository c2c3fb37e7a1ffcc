// SPDX-License-Identifier: Apache-2.0
#include "engine/digest.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#ifdef MICA_XXHASH_DISPATCH
#include <immintrin.h>

// Of xxh_x86dispatch.h, which would replace the functions of xxhash.h by these.
extern "C" {
XXH64_hash_t XXH3_64bits_dispatch(const void* input, size_t size);
XXH_errorcode XXH3_128bits_update_dispatch(XXH3_state_t* state, const void* input, size_t size);
}
#endif

namespace mica {

// The functions of xxhash.h are compiled for any x86-64. libxxhash has them for AVX2 and AVX-512
// as well, three times as fast. What those leave in the upper halves of the vector registers makes
// all later code for plain SSE four times slower (seen on AMD, libxxhash 0.8.1), so that goes.
#ifdef MICA_XXHASH_DISPATCH
namespace {

[[gnu::target("avx")]] void ClearUpperHalves() noexcept {
  _mm256_zeroupper();
}

bool HasWideVectors() noexcept {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}

uint64_t Hash(ConstBytes bytes) noexcept {
  if (!HasWideVectors()) return XXH3_64bits(bytes.data(), bytes.size());
  const uint64_t hash = XXH3_64bits_dispatch(bytes.data(), bytes.size());
  ClearUpperHalves();
  return hash;
}

void HashMore(XXH3_state_t* state, ConstBytes bytes) noexcept {
  if (!HasWideVectors()) {
    XXH3_128bits_update(state, bytes.data(), bytes.size());
    return;
  }
  XXH3_128bits_update_dispatch(state, bytes.data(), bytes.size());
  ClearUpperHalves();
}

}  // namespace
#else
namespace {

uint64_t Hash(ConstBytes bytes) noexcept {
  return XXH3_64bits(bytes.data(), bytes.size());
}

void HashMore(XXH3_state_t* state, ConstBytes bytes) noexcept {
  XXH3_128bits_update(state, bytes.data(), bytes.size());
}

}  // namespace
#endif

BlockDigest DigestBlock(ConstBytes block) noexcept {
  return Hash(block);
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
  HashMore(state_.get(), bytes);
}

std::array<uint8_t, 16> StreamDigest::Finish() const noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
  std::array<uint8_t, 16> digest{};
  std::memcpy(digest.data(), canonical.digest, digest.size());
  return digest;
}

}  // namespace mica
