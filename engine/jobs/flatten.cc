// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/flatten.h"

#include <algorithm>

#include "engine/jobs/copy_ranges.h"

namespace mica {

namespace {

// What parents show through and is not known to be zero: without them it would read zero anyway.
Async<std::vector<ByteRange>> ShownData(ImageChain& chain, ByteRange window) {
  std::vector<ByteRange> ranges;
  CO_ASSIGN(const std::vector<StatusExtent> extents,
            co_await chain.Status(window, kJobWindowBytes));
  uint64_t offset = window.offset;
  for (const StatusExtent& extent : extents) {
    if (extent.depth > 1 && !extent.zero) ranges.push_back(ByteRange{offset, extent.length});
    offset += extent.length;
  }
  co_return ranges;
}

}  // namespace

Async<ChainJobTotals> Flatten(EventLoop& loop, ImageChain& chain, ChainJobOptions options) {
  CO_ASSIGN(ParentControl* const control, ParentControlOf(chain));
  CO_TRY(control->CheckSwitch());
  CopyRangesOptions copy;
  copy.zeroes = CopyRangesOptions::Zeroes::kSkip;
  copy.pieces_in_flight = options.pieces_in_flight;
  BlockDevice* const target = options.mode == JobMode::kDo ? &chain : nullptr;
  ChainJobTotals totals;
  const uint64_t size = chain.info().size;
  while (totals.examined_bytes < size) {
    const uint64_t end = std::min(size, totals.examined_bytes + kJobWindowBytes);
    CO_ASSIGN(std::vector<ByteRange> ranges,
              co_await ShownData(chain, RangeBetween(totals.examined_bytes, end)));
    CO_ASSIGN(const CopyRangesTotals copied,
              co_await CopyRanges(loop, chain, target, std::move(ranges), copy));
    totals.copied_bytes += copied.written_bytes;
    totals.examined_bytes = end;
    options.Report(totals);
  }
  if (options.mode == JobMode::kMeasure) co_return totals;
  std::optional<ParentReference> none;
  CO_TRY(co_await control->SwitchParent(std::move(none), 0));
  co_return totals;
}

}  // namespace mica
