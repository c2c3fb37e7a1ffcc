// SPDX-License-Identifier: Apache-2.0
#include "engine/index_region.h"

#include <fmt/core.h>

#include <algorithm>

namespace mica {

namespace {

constexpr uint32_t kCodeBits = 14;
constexpr uint32_t kCodeMask = (1U << kCodeBits) - 1;
constexpr uint32_t kCodeNobody = 0;
constexpr uint32_t kCodeMixed = kCodeMask;
constexpr uint32_t kCodesPerLayer = 2;  // 1 + 2 * layer: ask it; one more: it says zero

uint32_t CodeOf(Owner owner) noexcept {
  switch (owner.kind) {
    case Owner::Kind::kNobody:
      return kCodeNobody;
    case Owner::Kind::kMixed:
      return kCodeMixed;
    case Owner::Kind::kLayer:
      return 1 + owner.layer * kCodesPerLayer;
    case Owner::Kind::kZero:
      return 2 + owner.layer * kCodesPerLayer;
  }
  return kCodeMixed;
}

Owner OwnerOf(uint32_t code) noexcept {
  if (code == kCodeNobody) return {};
  if (code == kCodeMixed) return {Owner::Kind::kMixed, 0};
  const bool zero = code % kCodesPerLayer == 0;
  return {zero ? Owner::Kind::kZero : Owner::Kind::kLayer, (code - 1) / kCodesPerLayer};
}

}  // namespace

Result<IndexRegion> IndexRegion::FromEntries(std::vector<uint32_t> entries, uint32_t layers) {
  if (entries.empty() || entries.front() >> kCodeBits != 0) {
    return Error{Errc::kCorrupt, "a region of the chain index does not start at its first block"};
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0 && entries[i] >> kCodeBits <= entries[i - 1] >> kCodeBits) {
      return Error{Errc::kCorrupt, fmt::format("entry {} of the region is out of order", i)};
    }
    const uint32_t code = entries[i] & kCodeMask;
    if (code != kCodeNobody && code != kCodeMixed && OwnerOf(code).layer >= layers) {
      return Error{Errc::kCorrupt, fmt::format("entry {} of the region names layer {} of {}", i,
                                               OwnerOf(code).layer, layers)};
    }
  }
  IndexRegion region;
  region.entries_ = std::move(entries);
  return region;
}

void IndexRegion::Put(uint32_t block, uint32_t code) {
  const uint32_t entry = block << kCodeBits | code;
  if (entries_.back() >> kCodeBits == block) {
    entries_.back() = entry;
    // The one before may say the same now.
    if (entries_.size() > 1 && (entries_[entries_.size() - 2] & kCodeMask) == code) {
      entries_.pop_back();
    }
  } else if ((entries_.back() & kCodeMask) != code) {
    entries_.push_back(entry);
  }
}

void IndexRegion::Append(uint32_t first, uint32_t end, Owner owner) {
  if (first >= end) return;
  Put(first, CodeOf(owner));
  if (end < kIndexRegionBlocks) Put(end, kCodeNobody);
}

IndexRegion::Found IndexRegion::Find(uint32_t block) const noexcept {
  // Entries sort by their block, and this is the largest one there can be for `block`.
  const auto next =
      std::upper_bound(entries_.begin(), entries_.end(), block << kCodeBits | kCodeMask);
  const uint32_t end = next == entries_.end() ? kIndexRegionBlocks : *next >> kCodeBits;
  return {OwnerOf(*std::prev(next) & kCodeMask), end};
}

}  // namespace mica
