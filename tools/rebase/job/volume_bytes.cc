// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_bytes.h"

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/base/aligned_buffer.h"
#include "engine/chain_difference.h"
#include "engine/jobs/copy_ranges.h"
#include "tools/guest/volume_device.h"

namespace mica::rebase {

namespace {

constexpr uint64_t kCompareBytes = uint64_t{1} << 20;

}  // namespace

Result<bool> BytesDiffer(guest::SyncDevice& a, guest::SyncDevice& b,
                         const std::vector<ByteRange>& ranges) {
  AlignedBuffer of_a(kCompareBytes);
  AlignedBuffer of_b(kCompareBytes);
  const uint64_t common = std::min(a.size(), b.size());
  for (const ByteRange& range : ranges) {
    for (uint64_t at = range.offset; at < range.end(); at += kCompareBytes) {
      const ByteRange piece{at, std::min(kCompareBytes, range.end() - at)};
      if (piece.end() > common) return true;
      TRY(a.Read(piece.offset, of_a.span().first(piece.length)));
      TRY(b.Read(piece.offset, of_b.span().first(piece.length)));
      if (!std::ranges::equal(of_a.span().first(piece.length), of_b.span().first(piece.length))) {
        return true;
      }
    }
  }
  return false;
}

Result<void> CarriedVolume::Apply(ImageChain& result) {
  guest::VolumeDevice ours(loop_, *images_.vm, pair_.base);
  guest::VolumeDevice there(loop_, result, pair_.target);
  TRY(SyncWait(loop_, CopyRanges(loop_, ours.device(), &there.device(), pair_.touched, {})));
  return {};
}

Result<std::vector<std::string>> CarriedVolume::Verify(ImageChain& result) {
  guest::VolumeDevice ours(loop_, *images_.vm, pair_.base);
  guest::VolumeDevice there(loop_, result, pair_.target);
  ASSIGN(const std::vector<ByteRange> written, SyncWait(loop_, RangesAbove(result, 1)));
  std::vector<std::string> wrong;
  for (const std::vector<ByteRange>& ranges :
       {pair_.touched, RangesWithin(written, std::span<const ByteRange>(pair_.target))}) {
    ASSIGN(const bool differs, BytesDiffer(ours.sync(), there.sync(), ranges));
    if (!differs) continue;
    wrong.push_back(pair_.id.Name() + ": is not as the VM has it");
    break;
  }
  return wrong;
}

}  // namespace mica::rebase
