// SPDX-License-Identifier: Apache-2.0
// A larger disk.
#include "engine/base/aligned_buffer.h"
#include "engine/image_chain.h"
#include "engine/snapshot_control.h"

namespace mica {

Async<void> ImageChain::Grow(uint64_t size) {
  SnapshotControl* const control = head_->controls().snapshots;
  if (control == nullptr) {
    co_return Error{Errc::kUnsupported, head_->info().path + ": its format cannot change its size"};
  }
  const uint64_t begin = AlignDown(info_.size, cluster_bytes_);
  if (begin != info_.size && size > info_.size) {
    // The head rewrites its short last block, and cannot read a parent's.
    const ByteRange last = RangeBetween(begin, info_.size);
    const RangeLock::Guard guard = co_await write_lock_.Acquire(LockRange(last));
    AlignedBuffer block(last.length);
    CO_TRY(co_await ReadAny(begin, block.span()));
    const ConstBytes content = std::as_const(block).span();
    CO_TRY(co_await WriteClusters(begin, content));
    CO_TRY(co_await control->Grow(size));
  } else {
    CO_TRY(co_await control->Grow(size));
  }
  info_.size = head_->info().virtual_size;
  co_return Result<void>();
}

}  // namespace mica
