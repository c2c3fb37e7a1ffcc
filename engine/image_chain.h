// SPDX-License-Identifier: Apache-2.0
// ImageChain: the BlockDevice over a head layer and its parents. All data movement, copy-on-write and
// zero-filling of the project happens here.
#pragma once

#include <memory>
#include <vector>

#include "engine/block_device.h"
#include "engine/layer.h"

namespace mica {

class EventLoop;
class RangeLock;

inline constexpr size_t kChainDepthMax = 256;

class ImageChain final : public BlockDevice {
 public:
  // layers[0] is the head, layers.back() the last parent; at least one, at most kChainDepthMax. A
  // parent may be smaller than its child (the rest reads zero); ranges past it are never asked of it.
  // Read-only when the head is not writable.
  ImageChain(EventLoop& loop, std::vector<std::unique_ptr<Layer>> layers);
  ~ImageChain() override;

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<void> Flush() override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

  // Flushes the head and closes all layers; nothing may be in flight or come after.
  Async<void> Close();

  [[nodiscard]] Layer& layer(size_t depth) noexcept { return *layers_[depth]; }
  [[nodiscard]] size_t depth() const noexcept { return layers_.size(); }

 private:
  EventLoop& loop_;
  std::vector<std::unique_ptr<Layer>> layers_;
  DeviceInfo info_;
  std::unique_ptr<RangeLock> range_lock_;
};

}  // namespace mica
