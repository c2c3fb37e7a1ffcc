// SPDX-License-Identifier: Apache-2.0
#include "formats/identity_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/random.h>

#include <charconv>

namespace mica {

std::string UuidText(const Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", uuid[i]);
  }
  return text;
}

Uuid RandomUuid() {
  Uuid uuid{};
  // 16 bytes are never cut short; the call fails only on kernels without it.
  MICA_CHECK(getrandom(uuid.data(), uuid.size(), 0) == static_cast<ssize_t>(uuid.size()));
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x40);  // version 4
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);  // RFC 9562 variant
  return uuid;
}

Result<Uuid> ParseUuid(std::string_view text) {
  Uuid uuid{};
  std::string digits;
  for (const char c : text) {
    if (c != '-') digits += c;
  }
  for (size_t i = 0; i < uuid.size() && digits.size() == 2 * uuid.size(); ++i) {
    const char* const begin = digits.data() + 2 * i;
    if (std::from_chars(begin, begin + 2, uuid[i], 16).ptr != begin + 2) break;
  }
  if (UuidText(uuid) != text) {
    return Error{Errc::kInvalidArgument, fmt::format("'{}' is not a UUID", text)};
  }
  return uuid;
}

std::string IdentityText(const std::optional<LayerIdentity>& identity) {
  if (!identity) return "an image without a seal";
  return fmt::format("uuid {} digest {:02x} size {}", UuidText(identity->uuid),
                     fmt::join(identity->digest, ""), identity->virtual_size);
}

}  // namespace mica
