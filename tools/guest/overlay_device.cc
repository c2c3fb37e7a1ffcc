// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/overlay_device.h"

#include <fmt/format.h>

#include "engine/base/checked_math.h"

namespace mica::guest {

namespace {

void AppendStatus(std::vector<StatusExtent>& extents, const StatusExtent& extent) {
  if (!extents.empty()) {
    StatusExtent& last = extents.back();
    if (last.hole == extent.hole && last.zero == extent.zero && last.depth == extent.depth) {
      last.length += extent.length;
      return;
    }
  }
  extents.push_back(extent);
}

}  // namespace

OverlayDevice::OverlayDevice(BlockDevice& inner, uint64_t bytes_max)
    : inner_(inner), info_(inner.info()), pages_max_(bytes_max / kPageBytes) {
  info_.read_only = false;
  info_.block_bytes_min = 1;
}

Result<void> OverlayDevice::CheckRange(ByteRange range) const {
  if (FitsInside(range, info_.size)) return {};
  return Error{Errc::kOutOfRange, fmt::format("{} bytes at {} lie beyond the end ({} bytes)",
                                              range.length, range.offset, info_.size)};
}

Async<void> OverlayDevice::Read(uint64_t offset, Bytes buffer) {
  const ByteRange range{offset, buffer.size()};
  CO_TRY(CheckRange(range));
  uint64_t at = offset;
  while (at < range.end()) {
    const auto next = pages_.lower_bound(AlignDown(at, kPageBytes));
    const uint64_t page_start =
        next == pages_.end() ? range.end() : std::min(next->first, range.end());
    if (page_start > at) {
      const Bytes part = buffer.subspan(at - offset, page_start - at);
      CO_TRY(co_await inner_.Read(at, part));
      at = page_start;
      continue;
    }
    const uint64_t end = std::min(next->first + kPageBytes, range.end());
    std::memcpy(buffer.data() + (at - offset), next->second->data() + (at - next->first), end - at);
    at = end;
  }
  co_return Result<void>();
}

Async<OverlayDevice::Page*> OverlayDevice::PageFor(uint64_t offset, ByteRange range) {
  const auto found = pages_.find(offset);
  if (found != pages_.end()) co_return found->second.get();
  if (pages_.size() >= pages_max_) {
    co_return Error{Errc::kNoSpace, "the scratch overlay in memory is full"};
  }
  auto page = std::make_unique<Page>();
  const uint64_t stored = std::min(kPageBytes, info_.size - offset);
  const bool covered = range.offset <= offset && range.end() >= offset + stored;
  if (!covered) {
    const Bytes whole = Bytes(*page).first(stored);
    CO_TRY(co_await inner_.Read(offset, whole));
  }
  // Somebody else may have made the page meanwhile: theirs is newer.
  const auto made = pages_.emplace(offset, std::move(page)).first;
  co_return made->second.get();
}

Async<void> OverlayDevice::Write(uint64_t offset, ConstBytes buffer, Durability /*durability*/) {
  const ByteRange range{offset, buffer.size()};
  CO_TRY(CheckRange(range));
  uint64_t at = offset;
  while (at < range.end()) {
    const uint64_t page_start = AlignDown(at, kPageBytes);
    CO_ASSIGN(Page * page, co_await PageFor(page_start, range));
    const uint64_t end = std::min(page_start + kPageBytes, range.end());
    std::memcpy(page->data() + (at - page_start), buffer.data() + (at - offset), end - at);
    at = end;
  }
  co_return Result<void>();
}

Async<void> OverlayDevice::WriteZeroes(ByteRange range, ZeroHint /*hint*/,
                                       Durability /*durability*/) {
  CO_TRY(CheckRange(range));
  uint64_t at = range.offset;
  while (at < range.end()) {
    const uint64_t page_start = AlignDown(at, kPageBytes);
    CO_ASSIGN(Page * page, co_await PageFor(page_start, range));
    const uint64_t end = std::min(page_start + kPageBytes, range.end());
    std::memset(page->data() + (at - page_start), 0, end - at);
    at = end;
  }
  co_return Result<void>();
}

Async<void> OverlayDevice::Discard(ByteRange range, Durability /*durability*/) {
  co_return CheckRange(range);
}

Async<void> OverlayDevice::Flush() {
  co_return Result<void>();
}

Async<std::vector<StatusExtent>> OverlayDevice::Status(ByteRange range, size_t extents_max) {
  CO_TRY(CheckRange(range));
  std::vector<StatusExtent> extents;
  uint64_t at = range.offset;
  while (at < range.end() && extents.size() < extents_max) {
    const auto next = pages_.lower_bound(AlignDown(at, kPageBytes));
    const uint64_t page_start =
        next == pages_.end() ? range.end() : std::min(next->first, range.end());
    if (page_start > at) {
      const ByteRange below = RangeBetween(at, page_start);
      CO_ASSIGN(std::vector<StatusExtent> found, co_await inner_.Status(below, 1));
      StatusExtent extent = found.front();
      if (extent.depth != 0) ++extent.depth;
      AppendStatus(extents, extent);
      at += extent.length;
      continue;
    }
    StatusExtent extent;
    extent.length = std::min(next->first + kPageBytes, range.end()) - at;
    extent.depth = 1;
    AppendStatus(extents, extent);
    at += extent.length;
  }
  co_return extents;
}

std::vector<ByteRange> OverlayDevice::OverlaidRanges() const {
  std::vector<ByteRange> ranges;
  for (const auto& [offset, page] : pages_) {
    const uint64_t length = std::min(kPageBytes, info_.size - offset);
    if (!ranges.empty() && ranges.back().end() == offset) {
      ranges.back().length += length;
    } else {
      ranges.push_back({offset, length});
    }
  }
  return ranges;
}

}  // namespace mica::guest
