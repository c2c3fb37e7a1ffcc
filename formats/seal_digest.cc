// SPDX-License-Identifier: Apache-2.0
#include "formats/seal_digest.h"

namespace mica {

void SealDigest::Add(uint64_t block, SealedState state, BlockDigest digest) noexcept {
  std::array<std::byte, 24> record;
  StoreLe<uint64_t>(record, 0, block);
  StoreLe<uint64_t>(record, 8, static_cast<uint64_t>(state));
  StoreLe<uint64_t>(record, 16, digest);
  stream_.Update(record);
}

std::array<uint8_t, 16> SealDigest::Finish(uint64_t virtual_size,
                                           const std::optional<LayerIdentity>& parent) noexcept {
  std::array<std::byte, 16> end;
  StoreLe<uint64_t>(end, 0, virtual_size);
  StoreLe<uint64_t>(end, 8, parent ? parent->virtual_size : UINT64_MAX);
  stream_.Update(end);
  if (parent) {
    stream_.Update(std::as_bytes(std::span(parent->uuid)));
    stream_.Update(std::as_bytes(std::span(parent->digest)));
  }
  return stream_.Finish();
}

}  // namespace mica
