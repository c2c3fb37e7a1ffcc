// SPDX-License-Identifier: Apache-2.0
// Checksums of content: XXH3-64 per block, found in maps and logs, and XXH3-128 over a stream, the
// identity of a sealed image. They detect damage, not malice.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "engine/base/bytes.h"
#include "engine/extent.h"

struct XXH3_state_s;

namespace mica {

inline constexpr uint32_t kDigestBlockBytes = 4096;

[[nodiscard]] BlockDigest DigestBlock(ConstBytes block) noexcept;

// The first block of `content` (the last one may be short) whose digest is not the one in
// `digests`, of which there is one for each.
[[nodiscard]] std::optional<size_t> FirstMismatch(ConstBytes content, size_t block_bytes,
                                                  std::span<const BlockDigest> digests) noexcept;

class StreamDigest {
 public:
  StreamDigest();
  void Update(ConstBytes bytes) noexcept;
  // Canonical (big-endian) XXH3-128 of everything so far.
  [[nodiscard]] std::array<uint8_t, 16> Finish() const noexcept;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const noexcept;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace mica
