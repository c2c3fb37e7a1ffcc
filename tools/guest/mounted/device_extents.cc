// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/device_extents.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

namespace mica::guest {

namespace {

constexpr size_t kExtentsAtOnce = 256;
constexpr size_t kExtentsMax = 1'000'000;
constexpr size_t kPlaceBytes = 28;

// Content that is nowhere, or not on the device as it reads.
constexpr uint32_t kUntold = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
                             FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED |
                             FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_DATA_INLINE |
                             FIEMAP_EXTENT_DATA_TAIL;
constexpr uint32_t kOfPosition = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_MERGED;

// fiemap with room behind it.
struct Request {
  alignas(fiemap)
      std::array<std::byte, sizeof(fiemap) + kExtentsAtOnce * sizeof(fiemap_extent)> bytes{};

  fiemap& head() {
    void* const start = bytes.data();
    return *static_cast<fiemap*>(start);
  }
  [[nodiscard]] fiemap_extent At(size_t i) const {
    fiemap_extent extent{};
    std::memcpy(&extent, &bytes[sizeof(fiemap) + i * sizeof extent], sizeof extent);
    return extent;
  }
};

}  // namespace

void PutPlaces(const std::vector<ExtentPlace>& places, ByteWriter& out) {
  out.Put(uint64_t{places.size()});
  for (const ExtentPlace& place : places) {
    out.Put(place.offset);
    out.Put(place.place);
    out.Put(place.length);
    out.Put(place.flags);
  }
}

std::vector<ExtentPlace> TakePlaces(ByteReader& in) {
  std::vector<ExtentPlace> places(in.TakeCount(kPlaceBytes));
  for (ExtentPlace& place : places) {
    place.offset = in.Take<uint64_t>();
    place.place = in.Take<uint64_t>();
    place.length = in.Take<uint64_t>();
    place.flags = in.Take<uint32_t>();
  }
  return places;
}

Result<std::optional<std::vector<ExtentPlace>>> DeviceExtents::Of(uint64_t inode) const {
  std::vector<ExtentPlace> places;
  if (kind_ == ExtentPlaces::kOfChunks) return std::optional<std::vector<ExtentPlace>>();
  ASSIGN(const UniqueFd fd, handles_.Open(inode, O_RDONLY));
  for (uint64_t at = 0; places.size() < kExtentsMax;) {
    Request request;
    request.head().fm_start = at;
    request.head().fm_length = std::numeric_limits<uint64_t>::max() - at;
    request.head().fm_extent_count = kExtentsAtOnce;
    if (::ioctl(fd.get(), FS_IOC_FIEMAP, request.bytes.data()) != 0) {
      return ErrnoError(errno, fmt::format("extents of inode {}", inode));
    }
    const size_t count = std::min<size_t>(request.head().fm_mapped_extents, kExtentsAtOnce);
    for (size_t i = 0; i < count; ++i) {
      const fiemap_extent extent = request.At(i);
      if ((extent.fe_flags & kUntold) != 0 || extent.fe_length == 0) {
        return std::optional<std::vector<ExtentPlace>>();
      }
      places.push_back({extent.fe_logical, extent.fe_physical, extent.fe_length,
                        extent.fe_flags & ~kOfPosition});
      at = extent.fe_logical + extent.fe_length;
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return std::optional(std::move(places));
    }
    if (count < kExtentsAtOnce) return std::optional(std::move(places));
  }
  return std::optional<std::vector<ExtentPlace>>();
}

}  // namespace mica::guest
