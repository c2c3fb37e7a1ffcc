// SPDX-License-Identifier: Apache-2.0
#include "engine/jobs/piece_queue.h"

#include <algorithm>

namespace mica {

PieceQueue::PieceQueue(EventLoop& loop, BlockDevice* first, BlockDevice* second, uint64_t size)
    : mutex_(loop), size_(size) {
  first_.device = first;
  second_.device = second;
}

Async<void> PieceQueue::Refill(Side& side) const {
  // Bounds the memory for extents and the time before the first piece.
  constexpr uint64_t kWindowBytes = uint64_t{1} << 30;
  constexpr size_t kExtentsMax = 4096;
  if (side.known_until > position_) co_return Result<void>();
  side.extents.clear();
  side.next = 0;
  const uint64_t device_end = side.device == nullptr ? 0 : side.device->info().size;
  if (position_ >= device_end) {
    StatusExtent rest;
    rest.length = size_ - position_;
    rest.hole = true;
    rest.zero = true;
    side.extents.push_back(rest);
    side.known_until = size_;
    co_return Result<void>();
  }
  const uint64_t window_end = std::min(size_, device_end);
  const ByteRange window{position_, std::min(kWindowBytes, window_end - position_)};
  CO_ASSIGN(side.extents, co_await side.device->Status(window, kExtentsMax));
  side.known_until = position_;
  for (const StatusExtent& extent : side.extents) side.known_until += extent.length;
  if (side.known_until == position_) {
    co_return Error{Errc::kCorrupt, "the device gives no status for a range inside it"};
  }
  co_return Result<void>();
}

Piece PieceQueue::TakeFront() {
  const StatusExtent& first = first_.extents[first_.next];
  const StatusExtent& second = second_.extents[second_.next];
  Piece piece;
  piece.first_zero = first.zero;
  piece.second_zero = second.zero;
  uint64_t length = std::min(first.length, second.length);
  if (!first.zero || !second.zero) {
    // Ends on a multiple of the largest piece, so that cuts fall on cluster boundaries.
    const uint64_t cut = AlignDown(position_, kPieceBytesMax) + kPieceBytesMax;
    length = std::min(length, cut - position_);
  }
  piece.range = ByteRange{position_, length};
  position_ += length;
  for (Side* const side : {&first_, &second_}) {
    StatusExtent& front = side->extents[side->next];
    front.length -= length;
    if (front.length == 0) ++side->next;
  }
  return piece;
}

Async<std::optional<Piece>> PieceQueue::Next() {
  const AsyncMutex::Lock lock = co_await mutex_.Acquire();
  std::optional<Piece> piece;
  while (position_ < size_) {
    CO_TRY(co_await Refill(first_));
    CO_TRY(co_await Refill(second_));
    const Piece front = TakeFront();
    if (!front.first_zero || !front.second_zero) {
      piece = front;
      break;
    }
    skipped_bytes_ += front.range.length;
  }
  co_return piece;
}

}  // namespace mica
