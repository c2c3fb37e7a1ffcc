// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/version.h"

#include <algorithm>
#include <cstdint>

namespace mica::rebase {
namespace {

bool IsDigit(char byte) {
  return byte >= '0' && byte <= '9';
}
bool IsLetter(char byte) {
  return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

// Letters sort before everything else, "~" before the end of the part.
int Weight(std::string_view text) {
  if (text.empty() || IsDigit(text.front())) return 0;
  const char byte = text.front();
  if (byte == '~') return -1;
  return IsLetter(byte) ? byte : static_cast<unsigned char>(byte) + 256;
}

std::string_view TakeDigits(std::string_view& text) {
  while (text.starts_with('0')) text.remove_prefix(1);
  size_t length = 0;
  while (length < text.size() && IsDigit(text[length])) ++length;
  const std::string_view digits = text.substr(0, length);
  text.remove_prefix(length);
  return digits;
}

std::strong_ordering ComparePart(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    while ((!a.empty() && !IsDigit(a.front())) || (!b.empty() && !IsDigit(b.front()))) {
      if (const auto order = Weight(a) <=> Weight(b); order != 0) return order;
      if (!a.empty()) a.remove_prefix(1);
      if (!b.empty()) b.remove_prefix(1);
    }
    const std::string_view number_a = TakeDigits(a);
    const std::string_view number_b = TakeDigits(b);
    if (const auto order = number_a.size() <=> number_b.size(); order != 0) return order;
    if (const auto order = number_a <=> number_b; order != 0) return order;
  }
  return std::strong_ordering::equal;
}

struct Parts {
  std::string_view epoch;
  std::string_view upstream;
  std::string_view revision;
};

Parts Split(std::string_view version) {
  Parts parts;
  if (const size_t colon = version.find(':'); colon != std::string_view::npos) {
    parts.epoch = version.substr(0, colon);
    version.remove_prefix(colon + 1);
  }
  const size_t dash = version.rfind('-');
  parts.upstream = version.substr(0, dash);
  if (dash != std::string_view::npos) parts.revision = version.substr(dash + 1);
  return parts;
}

}  // namespace

std::strong_ordering CompareVersions(std::string_view a, std::string_view b) {
  const Parts first = Split(a);
  const Parts second = Split(b);
  if (const auto order = ComparePart(first.epoch, second.epoch); order != 0) return order;
  if (const auto order = ComparePart(first.upstream, second.upstream); order != 0) return order;
  return ComparePart(first.revision, second.revision);
}

}  // namespace mica::rebase
