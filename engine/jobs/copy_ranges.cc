// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/copy_ranges.h"

#include <algorithm>

#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/jobs/piece_queue.h"

namespace mica {

namespace {

constexpr uint64_t kBlockBytes = 4096;

std::vector<ByteRange> Pieces(const std::vector<ByteRange>& ranges) {
  std::vector<ByteRange> pieces;
  for (const ByteRange& range : ranges) {
    for (uint64_t at = range.offset; at < range.end();) {
      const uint64_t cut = AlignDown(at, PieceQueue::kPieceBytesMax) + PieceQueue::kPieceBytesMax;
      const uint64_t next = std::min(cut, range.end());
      pieces.push_back(RangeBetween(at, next));
      at = next;
    }
  }
  return pieces;
}

class RangeCopier {
 public:
  RangeCopier(EventLoop& loop, BlockDevice& source, BlockDevice* target,
              std::vector<ByteRange> pieces, CopyRangesOptions options)
      : loop_(loop),
        source_(source),
        target_(target),
        pieces_(std::move(pieces)),
        options_(options) {}

  Async<CopyRangesTotals> Run() {
    std::vector<Async<void>> workers;
    const size_t most = std::max<size_t>(options_.pieces_in_flight, 1);
    for (size_t i = 0; i < std::min(most, pieces_.size()); ++i) workers.push_back(Work());
    CO_TRY(co_await WhenAll(loop_, std::move(workers)));
    co_return totals_;
  }

 private:
  Async<void> Work() {
    AlignedBuffer buffer(PieceQueue::kPieceBytesMax);
    while (next_ < pieces_.size()) {
      const ByteRange piece = pieces_[next_++];
      const Result<void> done = co_await CopyPiece(piece, buffer.span().first(piece.length));
      if (!done) {
        next_ = pieces_.size();  // the other workers stop after their piece
        co_return done;
      }
    }
    co_return Result<void>();
  }

  Async<void> CopyPiece(ByteRange piece, Bytes bytes) {
    CO_TRY(co_await source_.Read(piece.offset, bytes));
    for (uint64_t at = piece.offset; at < piece.end();) {
      const bool zero = IsZero(Block(piece, bytes, at));
      uint64_t end = at;
      while (end < piece.end() && IsZero(Block(piece, bytes, end)) == zero) {
        end = BlockEnd(piece, end);
      }
      CO_TRY(co_await Carry(RangeBetween(at, end), zero, bytes.subspan(at - piece.offset)));
      at = end;
    }
    co_return Result<void>();
  }

  static uint64_t BlockEnd(ByteRange piece, uint64_t at) {
    return std::min(AlignDown(at, kBlockBytes) + kBlockBytes, piece.end());
  }
  static ConstBytes Block(ByteRange piece, ConstBytes bytes, uint64_t at) {
    return bytes.subspan(at - piece.offset, BlockEnd(piece, at) - at);
  }

  // `from` starts with the content of `range`.
  Async<void> Carry(ByteRange range, bool zero, ConstBytes from) {
    if (zero) {
      totals_.zeroed_bytes += range.length;
      if (target_ == nullptr || options_.zeroes == CopyRangesOptions::Zeroes::kSkip) {
        co_return Result<void>();
      }
      co_return co_await target_->WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile);
    }
    totals_.written_bytes += range.length;
    if (target_ == nullptr) co_return Result<void>();
    const ConstBytes content = from.first(range.length);
    co_return co_await target_->Write(range.offset, content, Durability::kVolatile);
  }

  EventLoop& loop_;
  BlockDevice& source_;
  BlockDevice* const target_;
  const std::vector<ByteRange> pieces_;
  const CopyRangesOptions options_;
  size_t next_ = 0;
  CopyRangesTotals totals_;
};

}  // namespace

Async<CopyRangesTotals> CopyRanges(EventLoop& loop, BlockDevice& source, BlockDevice* target,
                                   std::vector<ByteRange> ranges, CopyRangesOptions options) {
  RangeCopier copier(loop, source, target, Pieces(ranges), options);
  co_return co_await copier.Run();
}

}  // namespace mica
