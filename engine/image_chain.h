// SPDX-License-Identifier: Apache-2.0
// ImageChain: the BlockDevice over a head layer and its parents. All data movement, copy-on-write
// and zero-filling of the project happens here: read path in image_chain_read.cc, write path in
// image_chain_write.cc, block status in image_chain_status.cc.
#pragma once

#include <memory>
#include <vector>

#include "engine/block_device.h"
#include "engine/layer.h"
#include "engine/range_lock.h"

namespace mica {

inline constexpr size_t kChainDepthMax = 256;

class ImageChain final : public BlockDevice {
 public:
  // layers[0] is the head, layers.back() the last parent; at least one, at most kChainDepthMax. A
  // parent may be smaller than its child (the rest reads zero); ranges past it are never asked of
  // it. Read-only when the head is not writable.
  ImageChain(EventLoop& loop, std::vector<std::unique_ptr<Layer>> layers);
  ~ImageChain() override;

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<void> Flush() override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

  // Flushes the head and closes all layers, the head first; nothing may be in flight or come after.
  // All layers are closed whatever happens; the first error is returned.
  Async<void> Close();

  [[nodiscard]] Layer& layer(size_t depth) noexcept { return *layers_[depth]; }
  [[nodiscard]] size_t depth() const noexcept { return layers_.size(); }

 private:
  [[nodiscard]] Result<void> CheckRange(ByteRange range, bool changes) const;

  // Reads through the layers from `depth` down; the range is aligned to digest blocks.
  Async<void> ReadFrom(size_t depth, uint64_t offset, Bytes out);
  Async<void> ReadExtent(size_t depth, const Mapping& mapping, const Extent& extent, Bytes out);
  // Reads the digest block that holds [offset, offset + out.size()) and copies that part.
  Async<void> ReadPartOfBlock(uint64_t offset, Bytes out);
  Async<void> ReadAny(uint64_t offset, Bytes out);

  // The range is locked. Unaligned edges are read, merged and written as whole clusters.
  Async<void> WriteLocked(uint64_t offset, ConstBytes buffer);
  Async<void> WriteClusters(uint64_t offset, ConstBytes buffer);
  Async<void> MoveToTargets(WritePlan& plan, ConstBytes buffer);
  Async<void> ZeroLocked(ByteRange range);
  Async<void> WriteZeroBytes(ByteRange range);
  [[nodiscard]] ByteRange LockRange(ByteRange range) const noexcept;
  [[nodiscard]] ByteRange WholeClusters(ByteRange range) const noexcept;
  [[nodiscard]] ExtentKind UnmappedKind(ByteRange range) const noexcept;
  Async<void> MakeDurable(Durability durability);

  Async<void> StatusFrom(size_t depth, ByteRange range, std::vector<StatusExtent>& out);

  EventLoop& loop_;
  std::vector<std::unique_ptr<Layer>> layers_;
  DeviceInfo info_;
  uint32_t cluster_bytes_;     // of the head
  uint32_t read_block_bytes_;  // largest digest block of any layer, 1 when none has checksums
  RangeLock write_lock_;
};

}  // namespace mica
