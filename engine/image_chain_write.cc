// SPDX-License-Identifier: Apache-2.0
// The write path of ImageChain. One write is, under a lock on its clusters:
//   1. read the clusters it covers only in part and merge the new bytes in
//   2. PrepareWrite: reserve clusters in the head
//   3. write the data to the plan's targets (nothing durable points at them yet)
//   4. PublishWrite, or CancelWrite when 3 failed
//   5. Flush, when durability is forced
#include <algorithm>
#include <cstring>

#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/digest.h"
#include "engine/image_chain.h"

namespace mica {

namespace {
// Two writes to one 4 KiB block never run at once, even over a format with smaller clusters.
constexpr uint64_t kLockBytesMin = 4096;
constexpr uint64_t kZeroPieceBytes = uint64_t{1} << 20;
}  // namespace

ByteRange ImageChain::LockRange(ByteRange range) const noexcept {
  return AlignOutward(range, std::max<uint64_t>(cluster_bytes_, kLockBytesMin));
}

// The whole clusters inside `range`; a cluster cut short by the end of the device is whole.
ByteRange ImageChain::WholeClusters(ByteRange range) const noexcept {
  const uint64_t end =
      range.end() == info_.size ? range.end() : AlignDown(range.end(), cluster_bytes_);
  return RangeBetween(AlignUp(range.offset, cluster_bytes_), end);
}

Async<void> ImageChain::Write(uint64_t offset, ConstBytes buffer, Durability durability) {
  const ByteRange range{offset, buffer.size()};
  CO_TRY(CheckRange(range, true));
  if (!range.empty()) {
    const RangeLock::Guard guard = co_await write_lock_.Acquire(LockRange(range));
    CO_TRY(co_await WriteLocked(offset, buffer));
  }
  co_return co_await MakeDurable(durability);
}

Async<void> ImageChain::WriteLocked(uint64_t offset, ConstBytes buffer) {
  const ByteRange range{offset, buffer.size()};
  if (WholeClusters(range) == range) co_return co_await WriteClusters(offset, buffer);
  const uint64_t begin = AlignDown(offset, cluster_bytes_);
  const uint64_t end = std::min(AlignUp(range.end(), cluster_bytes_), info_.size);
  AlignedBuffer merged(end - begin);
  const Bytes whole = merged.span();
  const uint64_t last = AlignDown(end - 1, cluster_bytes_);  // the last cluster's start
  if (offset != begin || last == begin) {
    const size_t first_bytes = std::min<uint64_t>(cluster_bytes_, end - begin);
    CO_TRY(co_await ReadAny(begin, whole.first(first_bytes)));
  }
  if (range.end() != end && last != begin)
    CO_TRY(co_await ReadAny(last, whole.subspan(last - begin)));
  std::memcpy(whole.data() + (offset - begin), buffer.data(), buffer.size());
  co_return co_await WriteClusters(begin, whole);
}

Async<void> ImageChain::WriteClusters(uint64_t offset, ConstBytes buffer) {
  Layer& head = *head_;
  const ByteRange range{offset, buffer.size()};
  CO_ASSIGN(WritePlan plan, co_await head.PrepareWrite(range));
  if (const size_t block_bytes = head.info().digest_block_bytes; block_bytes != 0) {
    plan.digests.reserve(buffer.size() / block_bytes + 1);
    for (size_t at = 0; at < buffer.size(); at += block_bytes) {
      plan.digests.push_back(
          DigestBlock(buffer.subspan(at, std::min(block_bytes, buffer.size() - at))));
    }
  }
  Result<void> moved = co_await MoveToTargets(plan, buffer);
  if (!moved) {
    head.CancelWrite(std::move(plan));
    co_return moved;
  }
  co_return co_await head.PublishWrite(std::move(plan));
}

Async<void> ImageChain::MoveToTargets(WritePlan& plan, ConstBytes buffer) {
  BlockFile& file = head_->data_file();
  if (plan.targets.size() == 1) {
    co_return co_await file.Write(plan.targets.front().host_offset, buffer);
  }
  std::vector<Async<void>> moves;
  moves.reserve(plan.targets.size());
  for (const WritePlan::Target& target : plan.targets) {
    const ConstBytes part =
        buffer.subspan(target.guest.offset - plan.range.offset, target.guest.length);
    moves.push_back(file.Write(target.host_offset, part));
  }
  co_return co_await WhenAll(loop_, std::move(moves));
}

ExtentKind ImageChain::UnmappedKind(ByteRange range) const noexcept {
  const bool parent_shows = range.offset < ParentEnd();
  return parent_shows ? ExtentKind::kZero : ExtentKind::kUnallocated;
}

Async<void> ImageChain::WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) {
  CO_TRY(CheckRange(range, true));
  if (!range.empty()) {
    const RangeLock::Guard guard = co_await write_lock_.Acquire(LockRange(range));
    if (hint == ZeroHint::kKeepSpace) {
      CO_TRY(co_await WriteZeroBytes(range));
    } else {
      CO_TRY(co_await ZeroLocked(range));
    }
  }
  co_return co_await MakeDurable(durability);
}

// Whole clusters become a matter of metadata; the edges are written.
Async<void> ImageChain::ZeroLocked(ByteRange range) {
  const ByteRange whole = WholeClusters(range);
  if (whole.empty()) co_return co_await WriteZeroBytes(range);
  const ByteRange head = RangeBetween(range.offset, whole.offset);
  const ByteRange tail = RangeBetween(whole.end(), range.end());
  if (!head.empty()) CO_TRY(co_await WriteZeroBytes(head));
  CO_TRY(co_await head_->Unmap(whole, UnmappedKind(whole)));
  if (!tail.empty()) CO_TRY(co_await WriteZeroBytes(tail));
  co_return Result<void>();
}

Async<void> ImageChain::WriteZeroBytes(ByteRange range) {
  AlignedBuffer zeroes(std::min<uint64_t>(range.length, kZeroPieceBytes));
  FillZero(zeroes.span());
  for (uint64_t at = range.offset; at < range.end();) {
    // Pieces end on a multiple of the piece size, so that only the edges of the range are
    // unaligned.
    const uint64_t next = std::min(AlignDown(at, kZeroPieceBytes) + kZeroPieceBytes, range.end());
    const ConstBytes piece = std::as_const(zeroes).span().first(next - at);
    CO_TRY(co_await WriteLocked(at, piece));
    at = next;
  }
  co_return Result<void>();
}

Async<void> ImageChain::Discard(ByteRange range, Durability durability) {
  CO_TRY(CheckRange(range, true));
  const ByteRange whole = WholeClusters(range);
  if (!whole.empty()) {
    const RangeLock::Guard guard = co_await write_lock_.Acquire(LockRange(whole));
    CO_TRY(co_await head_->Unmap(whole, UnmappedKind(whole)));
  }
  co_return co_await MakeDurable(durability);
}

}  // namespace mica
