// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/commit.h"

#include <algorithm>

#include "engine/jobs/copy_ranges.h"
#include "engine/jobs/drop_same.h"

namespace mica {

namespace {

class CommitJob {
 public:
  CommitJob(EventLoop& loop, CommitImages images, ChainJobOptions options)
      : loop_(loop), images_(images), options_(std::move(options)) {}

  Async<ChainJobTotals> Run() {
    CO_ASSIGN(ParentControl* const control, ParentControlOf(images_.delta));
    CO_TRY(control->CheckSwitch());
    CO_TRY(co_await FillParent());
    if (options_.mode == JobMode::kMeasure) co_return totals_;
    // From here on the parent has everything, whatever happens to the delta.
    CO_TRY(co_await images_.parent.Flush());
    CO_TRY(co_await EmptyDelta(*control));
    CO_TRY(co_await images_.delta.Flush());
    if (images_.below_parent != nullptr && images_.parent.layer(0).controls().parent != nullptr) {
      const ChainJobOptions quiet;
      CO_ASSIGN(const ChainJobTotals dropped,
                co_await DropSameAsParent(images_.parent, *images_.below_parent, quiet));
      totals_.dropped_bytes += dropped.dropped_bytes;
      CO_TRY(co_await images_.parent.Flush());
    }
    co_return totals_;
  }

 private:
  Async<void> FillParent() {
    CopyRangesOptions copy;
    copy.pieces_in_flight = options_.pieces_in_flight;
    BlockDevice* const target = options_.mode == JobMode::kDo ? &images_.parent : nullptr;
    const uint64_t size = images_.delta.info().size;
    const bool has_digests = images_.parent.layer(0).info().digest_block_bytes != 0;
    while (totals_.examined_bytes < size) {
      const uint64_t end = std::min(size, totals_.examined_bytes + kJobWindowBytes);
      CO_ASSIGN(HeldRanges ranges,
                co_await RangesOfHead(images_.delta, RangeBetween(totals_.examined_bytes, end)));
      // Without digests in the parent, comparing would cost as much as writing.
      std::vector<ByteRange> equal;
      if (has_digests) {
        CO_ASSIGN(equal, co_await EqualBlocks(images_.delta, images_.parent, ranges.held));
      }
      std::vector<ByteRange> changed = Subtract(ranges.held, equal);
      CO_ASSIGN(const CopyRangesTotals copied,
                co_await CopyRanges(loop_, images_.delta, target, std::move(changed), copy));
      totals_.copied_bytes += copied.written_bytes;
      totals_.zeroed_bytes += copied.zeroed_bytes;
      totals_.examined_bytes = end;
      options_.Report(totals_);
    }
    co_return Result<void>();
  }

  Async<void> EmptyDelta(ParentControl& control) {
    const uint64_t size = images_.delta.info().size;
    for (uint64_t at = 0; at < size;) {
      const uint64_t end = std::min(size, at + kJobWindowBytes);
      CO_ASSIGN(const HeldRanges ranges,
                co_await RangesOfHead(images_.delta, RangeBetween(at, end)));
      for (const ByteRange& range : ranges.held) {
        CO_TRY(co_await control.MarkSameAsParent(range));
        totals_.dropped_bytes += range.length;
      }
      at = end;
    }
    co_return Result<void>();
  }

  EventLoop& loop_;
  const CommitImages images_;
  const ChainJobOptions options_;
  ChainJobTotals totals_;
};

}  // namespace

Async<ChainJobTotals> Commit(EventLoop& loop, CommitImages images, ChainJobOptions options) {
  CommitJob job(loop, images, std::move(options));
  co_return co_await job.Run();
}

}  // namespace mica
