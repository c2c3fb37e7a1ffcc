// SPDX-License-Identifier: Apache-2.0
// OverlayDevice: a scratch layer in memory over another device. What is written stays here and is
// gone with the object; the device below is only read. Used to look at a disk as it would be after
// its journal is replayed.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "engine/block_device.h"

namespace mica::guest {

// Borrows `inner`. Pages of 4 KiB; kNoSpace when more than `bytes_max` are written. Loop thread
// only.
class OverlayDevice final : public BlockDevice {
 public:
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr uint64_t kDefaultBytesMax = uint64_t{2} << 30;

  explicit OverlayDevice(BlockDevice& inner, uint64_t bytes_max = kDefaultBytesMax);

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  // Does nothing: the content stays.
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<void> Flush() override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

  // What has been written so far, whole pages, in order and merged.
  [[nodiscard]] std::vector<ByteRange> OverlaidRanges() const;

 private:
  using Page = std::array<std::byte, kPageBytes>;

  [[nodiscard]] Result<void> CheckRange(ByteRange range) const;
  // The page that starts at `offset`, filled from below unless `range` covers it whole.
  Async<Page*> PageFor(uint64_t offset, ByteRange range);

  BlockDevice& inner_;
  DeviceInfo info_;
  uint64_t pages_max_;
  std::map<uint64_t, std::unique_ptr<Page>> pages_;  // by offset
};

}  // namespace mica::guest
