// SPDX-License-Identifier: Apache-2.0
// Where on its device the content of a file lies, as the kernel tells (FIEMAP). Two versions of a
// file that lie in the same places hold the same, unless one of those was written: that saves
// reading both.
#pragma once

#include <linux/fiemap.h>

#include <optional>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/byte_stream.h"
#include "tools/guest/mounted/chunk_map.h"
#include "tools/guest/mounted/file_handles.h"

namespace mica::guest {

// `length` bytes of a file from `offset` on, at `place` of the device. With
// FIEMAP_EXTENT_DATA_INLINE it lies in metadata: `place` and `length` are a digest of the file.
struct ExtentPlace {
  uint64_t offset = 0;
  uint64_t place = 0;
  uint64_t length = 0;
  uint32_t flags = 0;  // FIEMAP_EXTENT_…: an unwritten extent reads zero
  friend bool operator==(const ExtentPlace&, const ExtentPlace&) = default;
};

void PutPlaces(const std::vector<ExtentPlace>& places, ByteWriter& out);
std::vector<ExtentPlace> TakePlaces(ByteReader& in);

enum class ExtentPlaces : uint8_t {
  kOfDevice,  // XFS: offsets of the device
  kOfChunks,  // btrfs: logical addresses, which its chunks map to the device
};

class DeviceExtents {
 public:
  // Borrows the handles, of a volume that is mounted read-only.
  DeviceExtents(const FileHandles& handles, ExtentPlaces kind) : handles_(handles), kind_(kind) {}

  // Of a regular file; empty when nobody can tell.
  [[nodiscard]] Result<std::optional<std::vector<ExtentPlace>>> Of(uint64_t inode);

 private:
  [[nodiscard]] Result<std::optional<ExtentPlace>> PlaceOf(int file,
                                                           const fiemap_extent& extent) const;

  const FileHandles& handles_;
  ExtentPlaces kind_;
  std::optional<ChunkMap> chunks_;  // read when they are needed
};

}  // namespace mica::guest
