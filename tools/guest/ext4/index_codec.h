// SPDX-License-Identifier: Apache-2.0
// The index as bytes, to be kept in a sidecar file of its master. Little-endian:
//
//   header   "micaidx4" · version u32 · label length u32 · shape (4 x u32, u64) ·
//            counts of extents, names, value owners u64 each · bytes of names u64
//   payload  label · extents (block u64, length, inode, logical u32, use u8) ·
//            names (child, parent, leaf u32) · bytes of names · value owners (2 x u32)
//   trailer  XXH3-128 over everything before it
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/result.h"
#include "tools/guest/ext4/index.h"

namespace mica::guest {

struct StoredIndex {
  // Chosen by the caller: which master (and which partition of it) the index belongs to. At most
  // 4096 bytes.
  std::string label;
  Ext4Index index;
};

std::vector<std::byte> EncodeIndex(const Ext4Index& index, std::string_view label);

// kCorrupt for anything EncodeIndex did not write, kUnsupported for another version. What it
// returns is safe to use whatever the bytes were.
Result<StoredIndex> DecodeIndex(ConstBytes bytes);

}  // namespace mica::guest
