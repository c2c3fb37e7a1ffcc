// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/pack_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/digest.h"

namespace mica::packed {

namespace {

using native::LeafEntry;

ExtentState StateOf(const LeafEntry& entry) {
  if (entry.slot == native::kSlotZero) return ExtentState::kZero;
  if (entry.slot == native::kSlotSameAsParent) return ExtentState::kSameAsParent;
  return ExtentState::kData;
}

}  // namespace

Async<std::vector<PackSource::Entry>> PackSource::LeafCursor::Next(native::Image& image) {
  std::vector<Entry> entries;
  while (entries.empty() && block_ < image.map.block_count()) {
    CO_ASSIGN(const native::BlockMap::Found found, co_await image.map.Find(block_));
    if (found.kind == native::BlockMap::Found::Kind::kLeaf) {
      found.leaf->ForEach([&entries, first = block_](uint32_t index, const LeafEntry& entry) {
        entries.push_back(Entry{first + index, entry});
      });
    }
    block_ = found.end_block;
  }
  co_return entries;
}

Async<PackedExtent> PackSource::NextExtent() {
  PackedExtent extent;
  while (true) {
    if (entry_ == entries_.size()) {
      entry_ = 0;
      CO_ASSIGN(entries_, co_await extents_at_.Next(image_));
      if (entries_.empty()) break;
    }
    const Entry& next = entries_[entry_];
    const ExtentState state = StateOf(next.entry);
    if (extent.blocks == 0) {
      extent.first_block = next.block;
      extent.state = state;
      extent.rank = state == ExtentState::kData ? static_cast<uint32_t>(rank_) : 0;
    } else if (extent.state != state || extent.end_block() != next.block ||
               extent.blocks == UINT32_MAX) {
      break;
    }
    ++extent.blocks;
    ++entry_;
  }
  if (extent.state == ExtentState::kData) rank_ += extent.blocks;
  co_return extent;
}

Async<ContentWindow> PackSource::NextWindow(size_t blocks_max) {
  ContentWindow window;
  window.first_rank = next_rank_;
  while (window.blocks.size() < blocks_max) {
    if (next_ready_ == ready_.size()) {
      CO_ASSIGN(const std::vector<Entry> entries, co_await content_at_.Next(image_));
      if (entries.empty()) break;
      ready_.clear();
      next_ready_ = 0;
      for (const Entry& item : entries) {
        if (StateOf(item.entry) != ExtentState::kData) continue;
        ready_.push_back(ContentWindow::Block{item.block, item.entry.slot, item.entry.digest});
      }
      continue;
    }
    window.blocks.push_back(ready_[next_ready_++]);
  }
  next_rank_ += window.blocks.size();
  co_return window;
}

Async<void> PackSource::Read(const ContentWindow& window, Bytes content) {
  const std::span<const ContentWindow::Block> blocks = window.blocks;
  for (size_t begin = 0; begin < blocks.size();) {
    size_t end = begin + 1;
    while (end < blocks.size() && blocks[end].slot == blocks[end - 1].slot + 1) ++end;
    const Bytes part = content.subspan(begin * kBlockBytes, (end - begin) * kBlockBytes);
    CO_TRY(co_await ReadRun(blocks.subspan(begin, end - begin), part));
    begin = end;
  }
  co_return Result<void>();
}

// Blocks in neighbouring slots.
Async<void> PackSource::ReadRun(std::span<const ContentWindow::Block> run, Bytes content) {
  CO_TRY(co_await image_.file->Read(native::SlotOffset(run.front().slot), content));
  for (size_t i = 0; i < run.size(); ++i) {
    const uint64_t begin = run[i].number * kBlockBytes;
    const uint64_t end = std::min(begin + kBlockBytes, image_.superblock.virtual_size);
    const Bytes block = content.subspan(i * kBlockBytes, kBlockBytes);
    FillZero(block.subspan(end - begin));
    if (DigestBlock(block.first(end - begin)) == run[i].digest) continue;
    co_return Error{Errc::kCorrupt,
                    fmt::format("{}: the block at guest offset {}, file offset {} does not match "
                                "its checksum; nothing was changed; mica check --data lists all "
                                "such blocks",
                                image_.path.string(), begin, native::SlotOffset(run[i].slot))};
  }
  co_return Result<void>();
}

}  // namespace mica::packed
