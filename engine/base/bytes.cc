// SPDX-License-Identifier: Apache-2.0
#include "engine/base/bytes.h"

namespace mica {

bool IsZero(ConstBytes bytes) noexcept {
  // A buffer is all zero when its first 16 bytes are and it equals itself shifted by 16: memcmp
  // does the walk with the widest instructions the C library has.
  constexpr size_t kProbe = 16;
  const size_t head = bytes.size() < kProbe ? bytes.size() : kProbe;
  for (size_t i = 0; i < head; ++i) {
    if (bytes[i] != std::byte{0}) return false;
  }
  if (bytes.size() <= kProbe) return true;
  return std::memcmp(bytes.data(), bytes.data() + kProbe, bytes.size() - kProbe) == 0;
}

}  // namespace mica
