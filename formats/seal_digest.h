// SPDX-License-Identifier: Apache-2.0
// The digest that identifies a sealed image: XXH3-128 over a canonical stream of little-endian
// 24-byte records {block number, state, XXH3-64 of the block}, in ascending block order, then one
// record of the virtual size and the identity of the parent. It depends on what the guest sees of
// this layer and on the parent, never on where blocks lie in the file.
#pragma once

#include <optional>

#include "engine/digest.h"
#include "engine/layer.h"

namespace mica {

enum class SealedState : uint64_t {
  kData = 1,
  kZero = 2,
  kSameAsParent = 3,
};

class SealDigest {
 public:
  // Blocks in ascending order; blocks that are in no state of this layer are left out. `digest` is
  // 0 for states without data.
  void Add(uint64_t block, SealedState state, BlockDigest digest) noexcept;
  [[nodiscard]] std::array<uint8_t, 16> Finish(uint64_t virtual_size,
                                               const std::optional<LayerIdentity>& parent) noexcept;

 private:
  StreamDigest stream_;
};

}  // namespace mica
