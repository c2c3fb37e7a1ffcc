// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/copy.h"

#include <algorithm>
#include <cstring>

#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/jobs/read_piece.h"

namespace mica {

namespace {

enum class BlockAction : uint8_t { kKeep, kWrite, kZero };

BlockAction ActionFor(ConstBytes wanted, ConstBytes present) {
  if (std::memcmp(wanted.data(), present.data(), wanted.size()) == 0) return BlockAction::kKeep;
  return IsZero(wanted) ? BlockAction::kZero : BlockAction::kWrite;
}

struct BlockRun {
  BlockAction action = BlockAction::kKeep;
  ByteRange range;  // in the piece
};

// Neighbouring blocks of one action as one run.
std::vector<BlockRun> PlanRuns(uint64_t offset, ConstBytes wanted, ConstBytes present) {
  std::vector<BlockRun> runs;
  size_t at = 0;
  while (at < wanted.size()) {
    // The first block may be short, so that the others lie on block boundaries of the disk.
    const uint64_t block_end = AlignDown(offset + at, kCopyBlockBytes) + kCopyBlockBytes;
    const size_t length = std::min<size_t>(block_end - offset - at, wanted.size() - at);
    const BlockAction action = ActionFor(wanted.subspan(at, length), present.subspan(at, length));
    if (!runs.empty() && runs.back().action == action) {
      runs.back().range.length += length;
    } else {
      runs.push_back(BlockRun{action, ByteRange{at, length}});
    }
    at += length;
  }
  return runs;
}

class CopyJob {
 public:
  CopyJob(EventLoop& loop, BlockDevice& source, BlockDevice& target, CopyOptions options)
      : loop_(loop),
        source_(source),
        target_(target),
        options_(std::move(options)),
        pieces_(loop, &source, options_.baseline, source.info().size) {}

  Async<CopyTotals> Run() {
    std::vector<Async<void>> workers;
    for (size_t i = 0; i < std::max<size_t>(options_.pieces_in_flight, 1); ++i) {
      workers.push_back(Work());
    }
    CO_TRY(co_await WhenAll(loop_, std::move(workers)));
    Report(0);
    co_return totals_;
  }

 private:
  Async<void> Work() {
    AlignedBuffer wanted(PieceQueue::kPieceBytesMax);
    AlignedBuffer present(PieceQueue::kPieceBytesMax);
    while (!failed_) {
      const Result<void> done = co_await CopyNext(wanted.span(), present.span());
      if (!done) {
        failed_ = true;  // the other workers stop after their piece
        co_return done.error();
      }
      if (finished_) break;
    }
    co_return Result<void>();
  }

  Async<void> CopyNext(Bytes wanted_buffer, Bytes present_buffer) {
    CO_ASSIGN(const std::optional<Piece> piece, co_await pieces_.Next());
    if (!piece) {
      finished_ = true;
      co_return Result<void>();
    }
    const ByteRange range = piece->range;
    const Bytes wanted = wanted_buffer.first(range.length);
    const Bytes present = present_buffer.first(range.length);
    CO_TRY(co_await ReadPiece(&source_, range.offset, piece->first_zero, wanted));
    CO_TRY(co_await ReadPiece(options_.baseline, range.offset, piece->second_zero, present));
    for (const BlockRun& run : PlanRuns(range.offset, wanted, present)) {
      CO_TRY(co_await Carry(range.offset, run, wanted));
    }
    Report(range.length);
    co_return Result<void>();
  }

  Async<void> Carry(uint64_t offset, BlockRun run, ConstBytes wanted) {
    const ByteRange range{offset + run.range.offset, run.range.length};
    if (run.action == BlockAction::kWrite) {
      const ConstBytes bytes = wanted.subspan(run.range.offset, run.range.length);
      CO_TRY(co_await target_.Write(range.offset, bytes, Durability::kVolatile));
      totals_.written_bytes += range.length;
    } else if (run.action == BlockAction::kZero) {
      CO_TRY(co_await target_.WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile));
      totals_.zeroed_bytes += range.length;
    }
    co_return Result<void>();
  }

  void Report(uint64_t examined) {
    copied_bytes_ += examined;
    totals_.examined_bytes = copied_bytes_ + pieces_.skipped_bytes();
    if (options_.on_progress) options_.on_progress(totals_);
  }

  EventLoop& loop_;
  BlockDevice& source_;
  BlockDevice& target_;
  const CopyOptions options_;
  PieceQueue pieces_;
  CopyTotals totals_;
  uint64_t copied_bytes_ = 0;
  bool failed_ = false;
  bool finished_ = false;
};

}  // namespace

Async<CopyTotals> Copy(EventLoop& loop, BlockDevice& source, BlockDevice& target,
                       CopyOptions options) {
  CopyJob job(loop, source, target, std::move(options));
  co_return co_await job.Run();
}

}  // namespace mica
