// SPDX-License-Identifier: Apache-2.0
// ImageChain: the BlockDevice over a head layer and the parents under it (parent_stack.h). All data
// movement, copy-on-write and zero-filling of the project happens here: read path in
// image_chain_read.cc, write path in image_chain_write.cc, block status in image_chain_status.cc.
#pragma once

#include <memory>
#include <vector>

#include "engine/block_device.h"
#include "engine/layer.h"
#include "engine/layer_reads.h"
#include "engine/parent_stack.h"
#include "engine/range_lock.h"

namespace mica {

inline constexpr size_t kChainDepthMax = 256;

class ImageChain final : public BlockDevice {
 public:
  // `parents` may be null; of all layers together there are at most kChainDepthMax. A parent may be
  // smaller than its child (the rest reads zero) or larger. Read-only when the head is not
  // writable.
  ImageChain(EventLoop& loop, std::shared_ptr<Layer> head, std::shared_ptr<ParentStack> parents);
  // layers[0] is the head, the others a stack that nobody shares.
  ImageChain(EventLoop& loop, std::vector<std::unique_ptr<Layer>> layers);
  ~ImageChain() override;

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<void> Flush() override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

  // The disk gets `size` bytes, a multiple of the cluster, and reads zero in the new part. Reads
  // and writes go on; only when the old size is no multiple of the cluster must nothing be in
  // flight. kUnsupported when the head's format cannot; otherwise as SnapshotControl::Grow.
  Async<void> Grow(uint64_t size);

  // Closes the head and lets go of the parents; nothing may be in flight or come after.
  Async<void> Close();

  // 0 is the head, 1 its parent, …
  [[nodiscard]] Layer& layer(size_t depth) noexcept {
    return depth == 0 ? *head_ : parents_->layer(depth - 1);
  }
  [[nodiscard]] size_t depth() const noexcept {
    return parents_ == nullptr ? 1 : parents_->depth() + 1;
  }
  [[nodiscard]] const std::shared_ptr<ParentStack>& parents() const noexcept { return parents_; }
  // What has been read of each layer, by depth.
  [[nodiscard]] std::vector<std::shared_ptr<const LayerReads>> LayersRead() const;
  // The parents show through where the head says nothing, up to here.
  [[nodiscard]] uint64_t ParentEnd() const noexcept;

 private:
  ImageChain(EventLoop& loop, const std::vector<std::shared_ptr<Layer>>& layers);

  [[nodiscard]] Result<void> CheckRange(ByteRange range, bool changes) const;

  // Whole digest blocks.
  Async<void> ReadBlocks(uint64_t offset, Bytes out);
  Async<void> ReadExtent(const Mapping& mapping, const Extent& extent, Bytes out);
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

  Async<void> StatusOfHead(ByteRange range, std::vector<StatusExtent>& out);
  Async<void> StatusBelow(ByteRange range, std::vector<StatusExtent>& out);
  Async<void> StatusOfParent(const OwnerRun& run, std::vector<StatusExtent>& out);

  EventLoop& loop_;
  const std::shared_ptr<Layer> head_;
  const std::shared_ptr<ParentStack> parents_;  // null: there are none
  const std::shared_ptr<LayerReads> head_reads_;
  DeviceInfo info_;
  uint32_t cluster_bytes_;     // of the head
  uint32_t read_block_bytes_;  // largest digest block of any layer, 1 when none has checksums
  RangeLock write_lock_;
};

}  // namespace mica
