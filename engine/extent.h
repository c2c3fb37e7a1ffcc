// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/range.h"

namespace mica {

enum class ExtentKind : uint8_t {
  kUnallocated,  // this layer says nothing: ask the parent; zeroes below the last layer
  kZero,         // reads zero, whatever the parent says
  kData,         // stored in this layer's data file
  kCompressed,   // stored compressed in this layer's data file
};

// A range of guest bytes in one state within one layer.
struct Extent {
  static constexpr uint32_t kNoDigest = UINT32_MAX;

  ByteRange guest;
  ExtentKind kind = ExtentKind::kUnallocated;
  uint64_t host_offset = 0;           // in the layer's data file; kData only
  uint32_t first_digest = kNoDigest;  // index into Mapping::digests; kData of a checksumming layer
};

// XXH3-64 of one block of LayerInfo::digest_block_bytes.
using BlockDigest = uint64_t;

}  // namespace mica
