// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/epoch_history.h"

#include <algorithm>

#include "formats/mica/layout.h"

namespace mica::native {

namespace {
constexpr size_t kSizeBytes = 16;
constexpr size_t kLostBytes = 8;
constexpr size_t kLostOffset = EpochHistory::kSizesMax * kSizeBytes;
}  // namespace

void EpochHistory::AddResize(uint32_t epoch, uint64_t bytes_before) {
  if (sizes_.size() == kSizesMax) {
    sizes_[1].bytes = std::min(sizes_[0].bytes, sizes_[1].bytes);
    sizes_.erase(sizes_.begin());
  }
  sizes_.push_back(FormerSize{epoch, bytes_before});
}

void EpochHistory::AddRevert(uint32_t after, uint32_t through) {
  if (lost_.size() == kLostMax) {
    lost_[1].after = lost_[0].after;
    lost_.erase(lost_.begin());
  }
  lost_.push_back(LostEpochs{after, through});
}

uint64_t EpochHistory::SmallestSizeSince(uint32_t epoch, uint64_t bytes_now) const noexcept {
  uint64_t smallest = bytes_now;
  for (const FormerSize& size : sizes_) {
    if (size.epoch > epoch) smallest = std::min(smallest, size.bytes);
  }
  return smallest;
}

bool EpochHistory::IsLost(uint32_t epoch) const noexcept {
  return std::ranges::any_of(lost_, [epoch](const LostEpochs& lost) {
    return epoch > lost.after && epoch <= lost.through;
  });
}

void EpochHistory::Encode(Bytes out) const noexcept {
  FillZero(out.first(kEncodedBytes));
  for (size_t i = 0; i < sizes_.size(); ++i) {
    StoreLe<uint32_t>(out, i * kSizeBytes, sizes_[i].epoch);
    StoreLe<uint64_t>(out, i * kSizeBytes + 8, sizes_[i].bytes);
  }
  for (size_t i = 0; i < lost_.size(); ++i) {
    StoreLe<uint32_t>(out, kLostOffset + i * kLostBytes, lost_[i].after);
    StoreLe<uint32_t>(out, kLostOffset + i * kLostBytes + 4, lost_[i].through);
  }
}

Result<EpochHistory> EpochHistory::Decode(ConstBytes in, uint32_t epoch_end) {
  const Error bad{Errc::kCorrupt, "superblock: an impossible history of sizes and epochs"};
  EpochHistory history;
  if (in.size() < kEncodedBytes) return bad;
  uint32_t epoch = 0;
  for (size_t i = 0; i < kSizesMax; ++i) {
    FormerSize size;
    size.epoch = LoadLe<uint32_t>(in, i * kSizeBytes);
    size.bytes = LoadLe<uint64_t>(in, i * kSizeBytes + 8);
    if (size.epoch == 0) break;
    if (size.epoch <= epoch || size.epoch >= epoch_end || size.bytes > kVirtualSizeMax) {
      return bad;
    }
    epoch = size.epoch;
    history.sizes_.push_back(size);
  }
  uint32_t through = 0;
  for (size_t i = 0; i < kLostMax; ++i) {
    LostEpochs lost;
    lost.after = LoadLe<uint32_t>(in, kLostOffset + i * kLostBytes);
    lost.through = LoadLe<uint32_t>(in, kLostOffset + i * kLostBytes + 4);
    if (lost.through == 0) break;
    if (lost.after < through || lost.after >= lost.through || lost.through >= epoch_end) return bad;
    through = lost.through;
    history.lost_.push_back(lost);
  }
  return history;
}

}  // namespace mica::native
