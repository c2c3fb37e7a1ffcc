// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/text.h"

#include <fmt/format.h>

#include <array>

namespace mica::guest {

namespace {

unsigned char ByteAt(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]);
}

// How many bytes the well-formed, printable UTF-8 character at the beginning has; 0 when there is
// none. `text` is not empty.
size_t CharacterLength(std::string_view text) {
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

}  // namespace

bool IsPlainText(std::string_view name) {
  while (!name.empty()) {
    const size_t length = CharacterLength(name);
    if (length == 0) return false;
    name.remove_prefix(length);
  }
  return true;
}

std::string EscapeText(std::string_view name) {
  std::string text;
  while (!name.empty()) {
    const size_t length = CharacterLength(name);
    if (length == 0) {
      text += fmt::format("\\x{:02x}", ByteAt(name, 0));
    } else if (name.front() == '\\') {
      text += "\\\\";
    } else {
      text += name.substr(0, length);
    }
    name.remove_prefix(length == 0 ? 1 : length);
  }
  return text;
}

std::string DisplayText(std::string_view name) {
  return IsPlainText(name) ? std::string(name) : EscapeText(name);
}

std::string_view KindName(ObjectKind kind) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "file", "directory", "symlink", "char-device", "block-device", "fifo", "socket"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace mica::guest
