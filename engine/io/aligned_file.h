// SPDX-License-Identifier: Apache-2.0
// AlignedFile: accepts any request for a file that only takes aligned ones (direct I/O), by way of
// bounce buffers. The one place where alignment is dealt with, for all I/O engines.
#pragma once

#include <memory>

#include "engine/async/async_mutex.h"
#include "engine/base/aligned_buffer.h"
#include "engine/io/block_file.h"

namespace mica {

// Aligned requests pass straight through. A write at unaligned edges is a read-modify-write of
// whole blocks; it runs while no other write through this file is in flight, so here it is atomic
// after all. The size stays exact: what the last block was padded with is cut off again.
class AlignedFile final : public BlockFile {
 public:
  // Offsets and lengths are aligned to inner->limits().request_alignment, memory to
  // `memory_alignment`; both are powers of two, at most kDirectIoAlignment.
  AlignedFile(EventLoop& loop, std::unique_ptr<BlockFile> inner, uint32_t memory_alignment);

  [[nodiscard]] const FileLimits& limits() const noexcept override { return inner_->limits(); }
  Async<uint64_t> Size() override { return inner_->Size(); }
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer) override;
  Async<void> WriteZeroes(ByteRange range, ZeroMode mode) override;
  Async<void> Allocate(ByteRange range) override;
  Async<void> Sync() override { return inner_->Sync(); }
  Async<void> Resize(uint64_t size) override;

 private:
  [[nodiscard]] bool IsAlignedRange(ByteRange range) const noexcept;
  [[nodiscard]] bool IsAlignedMemory(const std::byte* data) const noexcept;
  // Runs a change of the inner file beside others of its kind, but not beside a read-modify-write.
  Async<void> Shared(Async<void> change);
  Async<void> ReadBounced(uint64_t offset, Bytes buffer);
  Async<void> WriteBounced(uint64_t offset, ConstBytes buffer);
  Async<void> WriteUnaligned(uint64_t offset, ConstBytes buffer);
  Async<void> ModifyBlocks(uint64_t offset, ConstBytes buffer);
  Async<void> ModifyPart(ByteRange part, ConstBytes data);

  const std::unique_ptr<BlockFile> inner_;
  const uint64_t alignment_;
  const uint64_t memory_alignment_;
  WaitList gate_;
  uint64_t shared_ = 0;
  uint64_t exclusive_waiting_ = 0;
  bool exclusive_ = false;
};

}  // namespace mica
