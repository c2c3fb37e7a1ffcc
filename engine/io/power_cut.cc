// SPDX-License-Identifier: Apache-2.0
#include "engine/io/power_cut.h"

#include "engine/base/prng.h"

namespace mica {

PowerCutPolicy PowerCutPolicy::FromSeed(uint64_t seed) noexcept {
  // The simple kinds are one outcome each, so they get a small share.
  constexpr uint64_t kShares = 16;
  switch (Prng(seed).Below(kShares)) {
    case 0:
      return {PowerCutKind::kKeepAll, seed};
    case 1:
      return {PowerCutKind::kLoseAll, seed};
    case 2:
    case 3:
    case 4:
      return {PowerCutKind::kInOrder, seed};
    case 5:
    case 6:
    case 7:
    case 8:
      return {PowerCutKind::kReorder, seed};
    default:
      return {PowerCutKind::kSectors, seed};
  }
}

PowerCutFate::PowerCutFate(const PowerCutPolicy& policy, uint64_t salt,
                           const std::vector<ByteRange>& data_ranges)
    : kind_(policy.kind),
      seed_(Prng(policy.seed ^ Prng(salt).Next()).Next()),
      count_(data_ranges.size()) {
  Prng prng(seed_);
  switch (kind_) {
    case PowerCutKind::kKeepAll:
      metadata_end_ = count_;
      break;
    case PowerCutKind::kLoseAll:
      break;
    case PowerCutKind::kInOrder:
      in_order_end_ = prng.Below(count_ + 1);
      metadata_end_ = in_order_end_ + prng.Below(2);
      break;
    case PowerCutKind::kSectors:
      metadata_end_ = prng.Below(count_ + 1);
      break;
    case PowerCutKind::kReorder:
      metadata_end_ = prng.Below(count_ + 1);
      ChooseReordered(data_ranges);
      break;
  }
}

void PowerCutFate::ChooseReordered(const std::vector<ByteRange>& data_ranges) {
  Prng prng(seed_ + 1);
  for (uint64_t i = 0; i < count_; ++i) {
    const ByteRange& range = data_ranges[i];
    if (range.empty() || prng.OneIn(2)) continue;
    for (uint64_t sector = range.offset / kSectorBytes; sector * kSectorBytes < range.end();
         ++sector) {
      sector_end_[sector] = i + 1;  // and with it every older change of that sector
    }
  }
}

uint64_t PowerCutFate::SectorHash(uint64_t sector) const noexcept {
  return Prng(seed_ + sector * 0x9e3779b97f4a7c15ULL).Next();
}

uint64_t PowerCutFate::SectorEnd(uint64_t sector) const noexcept {
  switch (kind_) {
    case PowerCutKind::kKeepAll:
      return count_;
    case PowerCutKind::kLoseAll:
      return 0;
    case PowerCutKind::kInOrder:
      return in_order_end_ + (SectorHash(sector) & 1);
    case PowerCutKind::kSectors:
      return SectorHash(sector) % (count_ + 1);
    case PowerCutKind::kReorder: {
      const auto found = sector_end_.find(sector);
      return found == sector_end_.end() ? 0 : found->second;
    }
  }
  return 0;
}

}  // namespace mica
