// SPDX-License-Identifier: Apache-2.0
// PackSource: a sealed mica image as the packer reads it, in guest order: first its extents, then
// its content.
#pragma once

#include <functional>
#include <vector>

#include "formats/mica/open_image.h"
#include "formats/mica/packed/table_page.h"

namespace mica::packed {

// Blocks of content on their way, in guest order.
struct ContentWindow {
  uint64_t first_rank = 0;
  struct Block {
    uint64_t number;  // of the guest's disk
    native::Slot slot;
    BlockDigest digest;
  };
  std::vector<Block> blocks;
};

// Loop thread only; borrows the image.
class PackSource {
 public:
  explicit PackSource(native::Image& image) : image_(image) {}

  // The next extent of the whole disk; of no blocks at the end.
  Async<PackedExtent> NextExtent();

  // The next `blocks_max` blocks of content; empty at the end. One call at a time.
  Async<ContentWindow> NextWindow(size_t blocks_max);

  // Fills `content` with the blocks, each verified, the last one of the disk padded with zeroes.
  Async<void> Read(const ContentWindow& window, Bytes content);

 private:
  struct Entry {
    uint64_t block;
    native::LeafEntry entry;
  };
  // The entries of the next leaf that has any.
  class LeafCursor {
   public:
    // Empty at the end of the map.
    Async<std::vector<Entry>> Next(native::Image& image);

   private:
    uint64_t block_ = 0;
  };
  Async<void> ReadRun(std::span<const ContentWindow::Block> run, Bytes content);

  native::Image& image_;
  LeafCursor extents_at_;
  std::vector<Entry> entries_;  // for NextExtent
  size_t entry_ = 0;
  uint64_t rank_ = 0;
  LeafCursor content_at_;
  std::vector<ContentWindow::Block> ready_;  // for NextWindow
  size_t next_ready_ = 0;
  uint64_t next_rank_ = 0;
};

}  // namespace mica::packed
