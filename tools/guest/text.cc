// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "engine/base/utf8.h"

namespace mica::guest {

namespace {

unsigned char ByteAt(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]);
}

}  // namespace

bool IsPlainText(std::string_view name) {
  return IsPrintable(name);
}

std::string EscapeText(std::string_view name) {
  std::string text;
  while (!name.empty()) {
    const size_t length = PrintableLength(name);
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

std::string UnescapeText(std::string_view text) {
  std::string name;
  while (!text.empty()) {
    size_t length = 1;
    char byte = text.front();
    if (text.starts_with("\\\\")) length = 2;
    if (text.starts_with("\\x") && text.size() >= 4) {
      unsigned char value = 0;
      const auto [end, failed] = std::from_chars(text.data() + 2, text.data() + 4, value, 16);
      if (failed == std::errc() && end == text.data() + 4) {
        length = 4;
        byte = static_cast<char>(value);
      }
    }
    name += byte;
    text.remove_prefix(length);
  }
  return name;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
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
