// SPDX-License-Identifier: Apache-2.0
// Compactor: moves what lies at the end of the file into free slots before it, while the image is
// in use, and gives the end back. A move is not logged: the map changes in memory, keeping the
// entry's epoch, and the old slot stays as it is until a checkpoint that knows the move is durable
// (Image::moved). So a power cut finds the old place or the new one, with the same content.
#pragma once

#include <functional>
#include <span>

#include "engine/space_control.h"
#include "formats/mica/open_image.h"

namespace mica::native {

class Compactor {
 public:
  // `open` outlives it and is writable.
  Compactor(OpenImage& open, std::function<void(const CompactProgress&)> on_progress)
      : open_(open), image_(open.image), on_progress_(std::move(on_progress)) {}

  Async<CompactReport> Run();

 private:
  struct Item {
    uint64_t block;
    Slot slot;
  };

  Async<void> RunPacked();
  Async<void> Survey();
  Async<bool> EmptyWindow(Slot begin);
  Async<std::vector<Item>> Collect(Slot begin);
  Async<void> MoveMapParts(uint64_t block, Slot begin);
  Async<bool> MoveGroup(std::span<const Item> items);
  Async<void> CopyData(std::span<const Item> items, const std::vector<SlotRun>& to);
  void Publish(std::span<const Item> items, const std::vector<SlotRun>& to);
  Async<void> MoveLog();
  Async<void> CutEnd();

  OpenImage& open_;
  Image& image_;
  const std::function<void(const CompactProgress&)> on_progress_;
  CompactProgress progress_;
  Slot target_ = 0;  // where the file could end
};

}  // namespace mica::native
