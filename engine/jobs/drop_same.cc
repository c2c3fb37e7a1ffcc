// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/drop_same.h"

#include <algorithm>

namespace mica {

Async<ChainJobTotals> DropSameAsParent(ImageChain& chain, ImageChain& parent,
                                       ChainJobOptions options) {
  CO_ASSIGN(ParentControl* const control, ParentControlOf(chain));
  ChainJobTotals totals;
  const uint64_t size = chain.info().size;
  while (totals.examined_bytes < size) {
    const uint64_t end = std::min(size, totals.examined_bytes + kJobWindowBytes);
    CO_ASSIGN(HeldRanges ranges,
              co_await RangesOfHead(chain, RangeBetween(totals.examined_bytes, end)));
    CO_ASSIGN(const std::vector<ByteRange> equal,
              co_await EqualBlocks(chain, parent, std::move(ranges.held)));
    for (const ByteRange& range : equal) {
      if (options.mode == JobMode::kDo) CO_TRY(co_await control->MarkSameAsParent(range));
      totals.dropped_bytes += range.length;
    }
    totals.examined_bytes = end;
    options.Report(totals);
  }
  co_return totals;
}

}  // namespace mica
