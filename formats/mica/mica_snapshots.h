// SPDX-License-Identifier: Apache-2.0
// MicaSnapshots: the snapshots, the size and the changed blocks of an open mica image. A snapshot
// is a set of root pointers that is kept (snapshot_table.h): nothing that a durable map points at
// is ever overwritten, so keeping the pointers keeps the disk.
#pragma once

#include "engine/layer.h"
#include "engine/snapshot_control.h"
#include "formats/mica/open_image.h"
#include "formats/mica/snapshot_io.h"

namespace mica::native {

class MicaSnapshots final : public SnapshotControl {
 public:
  // `info` is that of the layer, kept up to date.
  MicaSnapshots(OpenImage& open, LayerInfo& info)
      : open_(open), image_(open.image), info_(info), mutex_(open.image.loop) {}

  Async<std::vector<SnapshotInfo>> List() override;
  Async<SnapshotInfo> Create(std::string name) override;
  Async<void> Delete(std::string name) override;
  Async<void> Revert(std::string name) override;
  Async<void> Grow(uint64_t bytes) override;
  Async<void> Shrink(uint64_t bytes) override;
  [[nodiscard]] uint32_t Epoch() const noexcept override { return image_.superblock.epoch - 1; }
  Async<std::vector<ByteRange>> ChangedSince(uint32_t epoch, ByteRange range) override;

 private:
  class Growth;

  [[nodiscard]] Result<void> CheckWritable() const;
  Async<StoredSnapshotTable> ReadTable();
  Async<void> MakeRoom(uint64_t slots);
  [[nodiscard]] Result<void> CheckNew(const std::string& name, const SnapshotTable& table) const;
  [[nodiscard]] Result<const SnapshotRecord*> FindRecord(const StoredSnapshotTable& stored,
                                                         const std::string& name) const;
  [[nodiscard]] Result<void> CheckSize(uint64_t bytes) const;
  Async<void> PrepareLastBlock(Growth& growth);
  Async<void> ReadLastBlock(const LeafEntry& entry, Bytes block);
  [[nodiscard]] Result<void> CheckEpoch(uint32_t epoch) const;

  OpenImage& open_;
  Image& image_;
  LayerInfo& info_;
  AsyncMutex mutex_;  // one change at a time
};

}  // namespace mica::native
