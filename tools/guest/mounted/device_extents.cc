// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/device_extents.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "engine/digest.h"

namespace mica::guest {

namespace {

constexpr size_t kExtentsAtOnce = 256;
constexpr size_t kExtentsMax = 1'000'000;
constexpr size_t kPlaceBytes = 28;
constexpr size_t kInlineBytesMax = 64 << 10;  // a file of which this much is inline is none

// Content that is nowhere, or not on the device as it reads.
constexpr uint32_t kUntold = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
                             FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED |
                             FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_DATA_TAIL;
constexpr uint32_t kOfPosition = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_MERGED;

// fiemap with room behind it.
struct Request {
  alignas(fiemap)
      std::array<std::byte, sizeof(fiemap) + kExtentsAtOnce * sizeof(fiemap_extent)> bytes{};

  [[nodiscard]] fiemap head() const {
    fiemap head{};
    std::memcpy(&head, bytes.data(), sizeof head);
    return head;
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

Result<std::optional<std::vector<ExtentPlace>>> DeviceExtents::Of(uint64_t inode) {
  const std::optional<std::vector<ExtentPlace>> untold;
  if (kind_ == ExtentPlaces::kOfChunks && !chunks_) {
    ASSIGN(chunks_, ChunkMap::Read(handles_.root_fd()));
  }
  std::vector<ExtentPlace> places;
  ASSIGN(const UniqueFd fd, handles_.Open(inode, O_RDONLY));
  for (uint64_t at = 0; places.size() < kExtentsMax;) {
    Request request;
    fiemap head{};
    head.fm_start = at;
    head.fm_length = std::numeric_limits<uint64_t>::max() - at;
    head.fm_extent_count = kExtentsAtOnce;
    std::memcpy(request.bytes.data(), &head, sizeof head);
    if (::ioctl(fd.get(), FS_IOC_FIEMAP, request.bytes.data()) != 0) {
      return ErrnoError(errno, fmt::format("extents of inode {}", inode));
    }
    const size_t count = std::min<size_t>(request.head().fm_mapped_extents, kExtentsAtOnce);
    for (size_t i = 0; i < count; ++i) {
      const fiemap_extent extent = request.At(i);
      ASSIGN(const std::optional<ExtentPlace> place, PlaceOf(fd.get(), extent));
      if (!place) return untold;
      places.push_back(*place);
      at = extent.fe_logical + extent.fe_length;
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return std::optional(std::move(places));
    }
    if (count < kExtentsAtOnce) return std::optional(std::move(places));
  }
  return untold;
}

Result<std::optional<ExtentPlace>> DeviceExtents::PlaceOf(int file,
                                                          const fiemap_extent& extent) const {
  const std::optional<ExtentPlace> untold;
  ExtentPlace place{extent.fe_logical, extent.fe_physical, extent.fe_length,
                    extent.fe_flags & ~kOfPosition};
  if ((extent.fe_flags & FIEMAP_EXTENT_DATA_INLINE) != 0) {
    std::array<std::byte, kInlineBytesMax> content{};
    if (extent.fe_logical != 0) return untold;
    const ssize_t got = ::pread(file, content.data(), content.size(), 0);
    if (got < 0 || static_cast<size_t>(got) == content.size()) return untold;
    StreamDigest digest;
    digest.Update(ConstBytes(content).first(static_cast<size_t>(got)));
    const auto sum = digest.Finish();
    std::memcpy(&place.place, sum.data(), sizeof place.place);
    std::memcpy(&place.length, sum.data() + sizeof place.place, sizeof place.length);
    return std::optional(place);
  }
  if ((extent.fe_flags & kUntold) != 0 || extent.fe_length == 0) return untold;
  if (chunks_) {
    const std::optional<uint64_t> on_device =
        chunks_->PlaceOf(extent.fe_physical, extent.fe_length);
    if (!on_device) return untold;
    place.place = *on_device;
  }
  return std::optional(place);
}

}  // namespace mica::guest
