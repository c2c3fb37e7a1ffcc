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
  kCompressed,   // part of a compressed chunk of this layer's data file
};

// A range of guest bytes in one state within one layer.
struct Extent {
  static constexpr uint32_t kNoDigest = UINT32_MAX;

  ByteRange guest;
  ExtentKind kind = ExtentKind::kUnallocated;
  uint64_t host_offset = 0;           // in the layer's data file; kData only
  uint32_t first_digest = kNoDigest;  // index into Mapping::digests; stored bytes of a layer that
                                      // has checksums
  uint32_t chunk = 0;                 // index into Mapping::chunks; kCompressed only
  uint32_t chunk_offset = 0;          // where in the chunk's content it begins; kCompressed only
};

// XXH3-64 of one block of LayerInfo::digest_block_bytes.
using BlockDigest = uint64_t;

// Content that was compressed as a whole, apart from all other: one zstd frame.
struct CompressedChunk {
  uint64_t host_offset = 0;  // of the frame, in the layer's data file
  uint32_t stored_bytes = 0;
  uint32_t content_bytes = 0;
  BlockDigest digest = 0;  // XXH3-64 of the frame, verified before it is decompressed
};

}  // namespace mica
