// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/compare.h"

#include <algorithm>
#include <cstring>

#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/jobs/read_piece.h"

namespace mica {

namespace {

class CompareJob {
 public:
  CompareJob(EventLoop& loop, BlockDevice& a, BlockDevice& b, CompareOptions options)
      : loop_(loop),
        a_(a),
        b_(b),
        options_(std::move(options)),
        pieces_(loop, &a, &b, std::max(a.info().size, b.info().size)) {}

  Task<CompareOutcome> Run() {
    std::vector<Async<void>> workers;
    for (size_t i = 0; i < std::max<size_t>(options_.pieces_in_flight, 1); ++i) {
      workers.push_back(Work());
    }
    const Result<void> done = co_await WhenAll(loop_, std::move(workers));
    // A difference found is the answer, whatever went wrong further on.
    if (!done && !report_.first_difference) co_return std::unexpected(*failure_);
    Report(0);
    co_return report_;
  }

 private:
  Async<void> Work() {
    AlignedBuffer a_bytes(PieceQueue::kPieceBytesMax);
    AlignedBuffer b_bytes(PieceQueue::kPieceBytesMax);
    while (!stopped_) {
      Result<std::optional<Piece>> piece = co_await pieces_.Next();
      if (!piece) co_return Fail(CompareFailure::Step::kStatus, std::move(piece).error());
      if (!*piece) break;
      const ByteRange range = (*piece)->range;
      const Bytes a = a_bytes.span().first(range.length);
      const Bytes b = b_bytes.span().first(range.length);
      Result<void> read = co_await ReadPiece(&a_, range.offset, (*piece)->first_zero, a);
      if (!read) co_return Fail(CompareFailure::Step::kRead, std::move(read).error());
      read = co_await ReadPiece(&b_, range.offset, (*piece)->second_zero, b);
      if (!read) co_return Fail(CompareFailure::Step::kRead, std::move(read).error());
      Judge(range.offset, a, b);
      Report(range.length);
    }
    co_return Result<void>();
  }

  void Judge(uint64_t offset, ConstBytes a, ConstBytes b) {
    if (std::memcmp(a.data(), b.data(), a.size()) == 0) return;
    const auto at_a = std::ranges::mismatch(a, b).in1;
    // Pieces are dealt in order and all dealt ones are judged, so the lowest of what is found is
    // the lowest there is.
    const uint64_t found = offset + static_cast<uint64_t>(at_a - a.begin());
    report_.first_difference = std::min(found, report_.first_difference.value_or(found));
    stopped_ = true;
  }

  Error Fail(CompareFailure::Step step, Error error) {
    if (!failure_) failure_ = CompareFailure{step, error};
    stopped_ = true;
    return error;
  }

  void Report(uint64_t examined) {
    read_bytes_ += examined;
    report_.examined_bytes = read_bytes_ + pieces_.skipped_bytes();
    if (options_.on_progress) options_.on_progress(report_.examined_bytes);
  }

  EventLoop& loop_;
  BlockDevice& a_;
  BlockDevice& b_;
  const CompareOptions options_;
  PieceQueue pieces_;
  CompareReport report_;
  std::optional<CompareFailure> failure_;  // the first in time
  uint64_t read_bytes_ = 0;
  bool stopped_ = false;
};

}  // namespace

Task<CompareOutcome> Compare(EventLoop& loop, BlockDevice& a, BlockDevice& b,
                             CompareOptions options) {
  CompareJob job(loop, a, b, std::move(options));
  co_return co_await job.Run();
}

}  // namespace mica
