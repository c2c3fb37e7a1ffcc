// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mica {

// splitmix64: small, fast and the same everywhere, so that a printed seed replays a failure.
// Not for secrets.
class Prng {
 public:
  explicit constexpr Prng(uint64_t seed) noexcept : state_(seed) {}
  constexpr uint64_t Next() noexcept {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // A value in [0, bound); bound must not be 0.
  constexpr uint64_t Below(uint64_t bound) noexcept { return Next() % bound; }
  constexpr bool OneIn(uint64_t n) noexcept { return Below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace mica
