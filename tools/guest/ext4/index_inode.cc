// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/index_inode.h"

#include <algorithm>
#include <array>

namespace mica::guest {
namespace {

struct Field {
  size_t offset;
  size_t length;
};

// Ascending; the last ones exist only in inodes larger than 128 bytes.
constexpr std::array<Field, 7> kNoise = {{
    {0x08, 8},  // i_atime, i_ctime
    {0x24, 4},  // l_i_version
    {0x7c, 4},  // l_i_checksum_lo, l_i_reserved
    {0x82, 2},  // i_checksum_hi
    {0x84, 4},  // i_ctime_extra
    {0x8c, 4},  // i_atime_extra
    {0x98, 4},  // i_version_hi
}};

// In an xattr block: reference count, number of blocks, hash of the entries, checksum. What they
// say follows from the entries, or is nobody's attribute.
constexpr Field kXattrNoise{0x04, 28};

}  // namespace

bool DiffersInSubstance(ConstBytes before, ConstBytes after) {
  size_t at = 0;
  const auto same_until = [&](size_t end) {
    return std::ranges::equal(before.subspan(at, end - at), after.subspan(at, end - at));
  };
  for (const Field& field : kNoise) {
    if (field.offset + field.length > before.size()) break;
    if (!same_until(field.offset)) return true;
    at = field.offset + field.length;
  }
  return !same_until(before.size());
}

bool XattrBlockDiffers(ConstBytes before, ConstBytes after) {
  constexpr size_t kEntries = kXattrNoise.offset + kXattrNoise.length;
  return !std::ranges::equal(before.first(kXattrNoise.offset), after.first(kXattrNoise.offset)) ||
         !std::ranges::equal(before.subspan(kEntries), after.subspan(kEntries));
}

}  // namespace mica::guest
