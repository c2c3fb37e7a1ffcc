// SPDX-License-Identifier: Apache-2.0
// The SpaceControl of a mica image.
#pragma once

#include "engine/space_control.h"
#include "formats/mica/open_image.h"

namespace mica::native {

class MicaSpaceControl final : public SpaceControl {
 public:
  // `open` outlives it.
  MicaSpaceControl(OpenImage& open, bool writable) : open_(open), writable_(writable) {}

  [[nodiscard]] uint64_t used_bytes() const noexcept override;
  Async<SpaceUsage> Usage() override;
  [[nodiscard]] SpaceQuota quota() const noexcept override { return open_.image.quota; }
  Async<void> SetQuota(SpaceQuota quota) override;
  Async<CompactReport> Compact(std::function<void(const CompactProgress&)> on_progress) override;
  void OnEvent(std::function<void(const SpaceEvent&)> listener) override {
    open_.image.events.Listen(std::move(listener));
  }

 private:
  [[nodiscard]] Result<void> CheckWritable() const;

  OpenImage& open_;
  const bool writable_;
};

// Slots of data and of metadata that the map of the disk as it is now uses; no log, no superblocks.
struct HeadSlots {
  uint64_t data = 0;
  uint64_t metadata = 0;
};
Async<HeadSlots> CountHeadSlots(Image& image);

}  // namespace mica::native
