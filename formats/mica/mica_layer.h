// SPDX-License-Identifier: Apache-2.0
// MicaLayer: an open mica image as a layer. A write takes fresh slots, never those that something
// durable points at; publishing it changes the map in memory and queues a log record.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/layer.h"
#include "engine/parent_control.h"
#include "formats/mica/mica_snapshots.h"
#include "formats/mica/mica_space_control.h"

namespace mica::native {

class MicaLayer final : public Layer, private ParentControl {
 public:
  MicaLayer(std::shared_ptr<OpenImage> open, bool writable);
  ~MicaLayer() override;

  [[nodiscard]] const LayerInfo& info() const noexcept override { return info_; }
  LayerControls controls() noexcept override;
  BlockFile& data_file() noexcept override { return *image_.file; }
  Async<Mapping> Map(ByteRange range) override;
  Async<WritePlan> PrepareWrite(ByteRange range) override;
  Async<void> PublishWrite(WritePlan plan) override;
  void CancelWrite(WritePlan plan) noexcept override;
  Async<void> Unmap(ByteRange range, ExtentKind becomes) override;
  Async<void> Flush() override;
  Async<void> Close() override;

 private:
  Async<void> MarkSameAsParent(ByteRange range) override;
  Async<void> RecordZero(ByteRange range) override;
  [[nodiscard]] Result<void> CheckSwitch() const override;
  Async<void> SwitchParent(std::optional<ParentReference> parent, uint64_t shown_bytes) override;

  // A write between Prepare and Publish or Cancel.
  struct InFlight {
    uint64_t first_block = 0;
    uint64_t end_block = 0;
    std::vector<SlotRun> runs;
    uint64_t promised_slots = 0;
  };

  [[nodiscard]] Result<void> CheckWritable() const;
  Async<void> CloseSuperseded();
  Async<void> LoadAndPin(uint64_t first_block, uint64_t end_block);
  void UnpinAll(uint64_t first_block, uint64_t end_block);
  [[nodiscard]] SpaceUse UseOf(uint64_t first_block, uint64_t end_block);
  Async<void> MakeRoom(const InFlight& write, uint64_t data_slots, SpaceUse use);
  Async<void> ReadyLeaf(uint64_t first_block, uint64_t end_block);
  Async<void> UnmapLeaf(uint64_t first_block, uint64_t end_block, RecordKind becomes);
  void MarkLeaf(uint64_t first_block, uint64_t end_block);
  void ParkIfUnkept(const LeafEntry& entry);
  void PublishBlocks(uint64_t first_block, Slot first_slot, std::span<const BlockDigest> digests);
  InFlight TakeInFlight(uint64_t token);

  const std::shared_ptr<OpenImage> open_;
  Image& image_;
  LayerInfo info_;
  MicaSnapshots snapshots_;
  MicaSpaceControl space_control_;
  uint64_t next_token_ = 1;
  std::unordered_map<uint64_t, InFlight> in_flight_;
};

}  // namespace mica::native
