// SPDX-License-Identifier: Apache-2.0
#include "engine/base/utf8.h"

namespace mica {

namespace {

unsigned char ByteAt(std::string_view text, size_t at) noexcept {
  return static_cast<unsigned char>(text[at]);
}

}  // namespace

size_t PrintableLength(std::string_view text) noexcept {
  const unsigned char first = ByteAt(text, 0);
  if (first < 0x80) return first < 0x20 || first == 0x7f ? 0 : 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((ByteAt(text, i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = ByteAt(text, 1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  const bool control = first == 0xc2 && second < 0xa0;  // U+0080 to U+009F
  return overlong || beyond || control ? 0 : length;
}

bool IsPrintable(std::string_view text) noexcept {
  while (!text.empty()) {
    const size_t length = PrintableLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace mica
