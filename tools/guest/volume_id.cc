// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/volume_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mica::guest {

std::string VolumeId::Text() const {
  if (!logical.empty()) return logical;
  return partition == 0 ? std::string() : fmt::format("{}", partition);
}

std::optional<VolumeId> VolumeId::Parse(const std::string& text) {
  if (std::ranges::count(text, '/') == 1) return VolumeId{0, text};
  VolumeId id;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, id.partition);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return id;
}

std::string VolumeId::Name() const {
  if (!logical.empty()) return "logical volume " + logical;
  if (partition == kOutside) return "the space outside the partitions";
  return partition == 0 ? std::string("the disk") : fmt::format("partition {}", partition);
}

// The names of logical volumes have no slashes; hyphens are doubled as in /dev/mapper.
std::string VolumeId::FileKey() const {
  if (logical.empty()) return fmt::format("p{}", partition);
  std::string key = "lv-";
  for (const char c : logical) {
    if (c == '-') key += '-';
    key += c == '/' ? '-' : c;
  }
  return key;
}

}  // namespace mica::guest
