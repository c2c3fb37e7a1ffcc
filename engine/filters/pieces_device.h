// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "engine/filters/forwarding_device.h"

namespace mica {

// Of all of them together; whoever made them has checked that it does not wrap.
constexpr uint64_t BytesOf(std::span<const ByteRange> pieces) noexcept {
  uint64_t bytes = 0;
  for (const ByteRange& piece : pieces) bytes += piece.length;
  return bytes;
}

// Several windows of another device, one after the other: a volume that lies in pieces on its disk.
class PiecesDevice final : public ForwardingDevice {
 public:
  // Every piece lies inside the inner device and is not empty; together they are less than 2^63
  // bytes. They may be in any order, and none at all is a device of no bytes.
  PiecesDevice(BlockDevice& inner, std::vector<ByteRange> pieces);

  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

 private:
  // kOutOfRange when it leaves the device.
  [[nodiscard]] Result<void> CheckRange(ByteRange range) const;
  // Where the start of `range` is in the inner device, as far as one piece goes; `range` is not
  // empty and inside.
  [[nodiscard]] ByteRange FirstPart(ByteRange range) const;

  std::vector<ByteRange> pieces_;
  std::vector<uint64_t> starts_;  // of each piece in this device
};

}  // namespace mica
