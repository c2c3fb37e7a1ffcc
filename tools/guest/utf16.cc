// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/utf16.h"

namespace mica::guest {

std::string DecodeUtf16(ConstBytes raw) {
  std::string name;
  const auto append = [&name](uint32_t code) {
    if (code < 0x80) {
      name += static_cast<char>(code);
    } else if (code < 0x800) {
      name += static_cast<char>(0xc0 | code >> 6);
      name += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      name += static_cast<char>(0xe0 | code >> 12);
      name += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      name += static_cast<char>(0x80 | (code & 0x3f));
    } else {
      name += static_cast<char>(0xf0 | code >> 18);
      name += static_cast<char>(0x80 | (code >> 12 & 0x3f));
      name += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      name += static_cast<char>(0x80 | (code & 0x3f));
    }
  };
  for (size_t at = 0; at + 2 <= raw.size(); at += 2) {
    uint32_t code = LoadLe<uint16_t>(raw, at);
    if (code == 0) break;
    if (code >= 0xd800 && code < 0xdc00 && at + 4 <= raw.size()) {
      const uint32_t low = LoadLe<uint16_t>(raw, at + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 2;
      }
    }
    append(code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
  }
  return name;
}

}  // namespace mica::guest
