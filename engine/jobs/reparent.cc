// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/reparent.h"

#include <algorithm>

#include "engine/filters/forwarding_device.h"
#include "engine/jobs/copy_ranges.h"
#include "engine/jobs/drop_same.h"
#include "engine/window_digests.h"

namespace mica {

namespace {

// The chain as a target that records every zero in the head, also where the old parent shows
// nothing: the new one may.
class ExplicitZeroes final : public ForwardingDevice {
 public:
  ExplicitZeroes(ImageChain& chain, ParentControl& control)
      : ForwardingDevice(chain), control_(control) {}
  Async<void> WriteZeroes(ByteRange range, ZeroHint, Durability) override {
    return control_.RecordZero(range);
  }

 private:
  ParentControl& control_;
};

// The blocks of `shown` in which the two disks differ, by digest.
Async<std::vector<ByteRange>> Differing(ImageChain& chain, ImageChain& parent,
                                        std::vector<ByteRange> shown) {
  std::vector<ByteRange> ranges;
  if (shown.empty()) co_return ranges;
  const ByteRange window = RangeBetween(shown.front().offset, shown.back().end());
  WindowDigests before(chain, window);
  WindowDigests after(parent, window);
  const bool same_end = chain.info().size == parent.info().size;
  for (const ByteRange& range : shown) {
    CO_TRY(co_await before.Load(range));
    CO_TRY(co_await after.Load(range));
    for (uint64_t at = range.offset; at < range.end(); at += kDigestBlockBytes) {
      const uint64_t end = std::min(at + kDigestBlockBytes, range.end());
      const size_t index = (at - window.offset) / kDigestBlockBytes;
      // A block that is cut short by one of the two ends does not compare by digest.
      const bool whole = end - at == kDigestBlockBytes || same_end;
      if (whole && before[index] == after[index]) continue;
      if (!ranges.empty() && ranges.back().end() == at) {
        ranges.back().length += end - at;
      } else {
        ranges.push_back(RangeBetween(at, end));
      }
    }
  }
  co_return ranges;
}

Async<ChainJobTotals> CopyUp(EventLoop& loop, ImageChain& chain, ImageChain& parent,
                             const ChainJobOptions& options) {
  CO_ASSIGN(ParentControl* const control, ParentControlOf(chain));
  ExplicitZeroes target(chain, *control);
  CopyRangesOptions copy;
  copy.pieces_in_flight = options.pieces_in_flight;
  ChainJobTotals totals;
  const uint64_t size = chain.info().size;
  while (totals.examined_bytes < size) {
    const uint64_t end = std::min(size, totals.examined_bytes + kJobWindowBytes);
    CO_ASSIGN(HeldRanges ranges,
              co_await RangesOfHead(chain, RangeBetween(totals.examined_bytes, end)));
    CO_ASSIGN(std::vector<ByteRange> differing,
              co_await Differing(chain, parent, std::move(ranges.shown)));
    BlockDevice* const into = options.mode == JobMode::kDo ? &target : nullptr;
    CO_ASSIGN(const CopyRangesTotals copied,
              co_await CopyRanges(loop, chain, into, std::move(differing), copy));
    totals.copied_bytes += copied.written_bytes;
    totals.zeroed_bytes += copied.zeroed_bytes;
    totals.examined_bytes = end;
    options.Report(totals);
  }
  co_return totals;
}

}  // namespace

Async<ChainJobTotals> Reparent(EventLoop& loop, ImageChain& chain, NewParent parent,
                               ChainJobOptions options) {
  CO_ASSIGN(ParentControl* const control, ParentControlOf(chain));
  CO_TRY(control->CheckSwitch());
  CO_ASSIGN(ChainJobTotals totals, co_await CopyUp(loop, chain, parent.chain, options));
  if (options.mode == JobMode::kDo) {
    const uint64_t shown = std::min(chain.info().size, parent.chain.info().size);
    std::optional<ParentReference> reference = parent.reference;
    CO_TRY(co_await control->SwitchParent(std::move(reference), shown));
  }
  ChainJobOptions quiet = options;
  quiet.on_progress = {};
  CO_ASSIGN(const ChainJobTotals dropped,
            co_await DropSameAsParent(chain, parent.chain, std::move(quiet)));
  totals.dropped_bytes = dropped.dropped_bytes;
  co_return totals;
}

}  // namespace mica
