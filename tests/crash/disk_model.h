// SPDX-License-Identifier: Apache-2.0
// DiskModel: what a guest may find on its disk after a power cut. For each 4 KiB block it keeps all
// versions since the last flush that covers it; after a cut the block must hold one of these,
// whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/range.h"
#include "engine/extent.h"

namespace mica::testing {

class DiskModel {
 public:
  static constexpr uint64_t kBlockBytes = 4096;
  using Content = std::vector<std::byte>;

  // Only blocks inside `extents` (whole blocks, in order, disjoint) are ever used. All blocks read
  // zero at first.
  DiskModel(uint64_t size, std::vector<ByteRange> extents);

  [[nodiscard]] const std::vector<ByteRange>& extents() const noexcept { return extents_; }
  [[nodiscard]] uint64_t size() const noexcept { return size_; }

  // A change is begun before it is sent to the disk and completed when it has succeeded; in between
  // its blocks may hold either version. Changes of one block do not overlap in time.
  void BeginWrite(uint64_t offset, ConstBytes data);
  void BeginZero(ByteRange range);
  // Returns the blocks' states to give to Covered when the change was made durable.
  void Complete(ByteRange range);

  // The versions that are complete now, and, later, the news that these are durable.
  using Snapshot = std::map<uint64_t, size_t>;
  [[nodiscard]] Snapshot Completed() const;
  void Covered(const Snapshot& snapshot);
  [[nodiscard]] Snapshot CompletedIn(ByteRange range) const;

  // The last version that was begun, of every block.
  [[nodiscard]] Snapshot Begun() const;
  // Whether `content` is one of these versions of the block.
  [[nodiscard]] bool HadBetween(uint64_t block, ConstBytes content, size_t from, size_t to) const;

  // The whole disk is about to become what it was, each block in one of these versions; then it
  // has, durably. In between and afterwards what a block holds is known when it is resolved.
  void BeginRevert(const Snapshot& from, const Snapshot& to);
  void CompleteRevert();

  // What a read must return when no change is in flight and none has failed.
  void Read(uint64_t offset, Bytes out) const;
  // Whether the block may hold `content` (short for the last block) after a power cut now.
  [[nodiscard]] bool Accepts(uint64_t block, ConstBytes content) const;
  // The block is known to hold `content` now: after a failed change or a crash of the process. With
  // `durable`, nothing older can come back.
  void Resolve(uint64_t block, ConstBytes content, bool durable);

 private:
  struct Block {
    Content content;
    std::vector<BlockDigest> versions;  // the last one is `content`
    size_t completed = 0;               // index into versions
    size_t durable = 0;
    size_t reverted = 0;  // the first version that the last BeginRevert has added
  };

  template <class Edit>
  void Begin(ByteRange range, const Edit& edit);

  const uint64_t size_;
  const std::vector<ByteRange> extents_;
  std::map<uint64_t, Block> blocks_;
};

}  // namespace mica::testing
