// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/content_since.h"

#include <algorithm>
#include <limits>

#include "tools/guest/diff_content.h"

namespace mica::guest {

namespace {

constexpr uint64_t kEnd = std::numeric_limits<uint64_t>::max();

// Goes over a map from left to right, holes included.
class MapCursor {
 public:
  explicit MapCursor(const FileMap& map) : at_(map.extents.begin()), end_(map.extents.end()) {}

  // How it is from `logical` on; later calls ask for later places.
  struct Piece {
    uint64_t end = kEnd;    // it goes on like that up to here
    uint64_t physical = 0;  // of the first block; 0: reads zero
    friend bool operator==(const Piece&, const Piece&) = default;
  };
  Piece From(uint64_t logical) {
    while (at_ != end_ && at_->end() <= logical) ++at_;
    if (at_ == end_) return {};
    if (at_->logical > logical) return {at_->logical, 0};
    return {at_->end(), at_->unwritten ? 0 : at_->physical + (logical - at_->logical)};
  }

 private:
  std::vector<FileExtent>::const_iterator at_;
  std::vector<FileExtent>::const_iterator end_;
};

}  // namespace

ContentSince::ContentSince(Ext4Volume& then, Ext4Volume& now, std::span<const ByteRange> written)
    : then_(then), now_(now), written_(AlignToGrains(written, kEnd)) {}

// The parts of a stretch that lies where it did, which were written there.
void ContentSince::AddWritten(const FileExtent& extent, std::vector<ByteRange>& changed) const {
  const uint64_t block_bytes = now_.fs()->blocksize;
  const ByteRange stored{extent.physical * block_bytes, extent.length * block_bytes};
  auto at = std::ranges::lower_bound(written_, stored.offset, {}, &ByteRange::end);
  for (; at != written_.end() && at->offset < stored.end(); ++at) {
    const ByteRange part = Intersect(*at, stored);
    if (part.empty()) continue;
    changed.push_back({extent.logical * block_bytes + (part.offset - stored.offset), part.length});
  }
}

Result<std::vector<ByteRange>> ContentSince::ChangedRanges(uint64_t inode, uint64_t size_then,
                                                           uint64_t size_now) {
  ASSIGN(const RawInode raw_then, then_.Inode(inode));
  ASSIGN(const RawInode raw_now, now_.Inode(inode));
  const ByteRange all{0, size_now};
  if (!HasBlockMap(raw_then) || !HasBlockMap(raw_now)) {
    const std::vector<ByteRange> candidates{all};
    return DifferingContent({then_, inode, size_then}, {now_, inode, size_now}, candidates);
  }
  ASSIGN(const FileMap map_then, MapInode(then_.fs(), then_.io(), raw_then));
  ASSIGN(const FileMap map_now, MapInode(now_.fs(), now_.io(), raw_now));
  MapCursor then(map_then);
  MapCursor now(map_now);
  const uint64_t block_bytes = now_.fs()->blocksize;
  const uint64_t blocks = DivideRoundUp(size_now, block_bytes);
  std::vector<ByteRange> changed;
  for (uint64_t logical = 0; logical < blocks;) {
    const MapCursor::Piece before = then.From(logical);
    const MapCursor::Piece after = now.From(logical);
    const uint64_t end = std::min({before.end, after.end, blocks});
    if (before.physical != after.physical) {
      changed.push_back({logical * block_bytes, (end - logical) * block_bytes});
    } else if (after.physical != 0) {
      AddWritten({logical, after.physical, end - logical, false}, changed);
    }
    logical = end;
  }
  // Beyond its old end the file read nothing, whatever its last block held.
  if (size_now > size_then) changed.push_back(RangeBetween(size_then, size_now));
  return AlignToGrains(changed, size_now);
}

Result<std::optional<ContentChange>> ContentSince::Of(uint64_t inode) {
  const Result<Object> then = then_.Stat(inode);
  if (!then) return std::optional<ContentChange>();  // not in use then
  ASSIGN(const Object now, now_.Stat(inode));
  const bool same = then->id == now.id && then->link_count != 0 &&
                    then->kind == ObjectKind::kRegular && now.kind == ObjectKind::kRegular;
  if (!same) return std::optional<ContentChange>();
  ContentChange change;
  change.resized = then->size != now.size;
  ASSIGN(change.ranges, ChangedRanges(inode, then->size, now.size));
  return std::optional<ContentChange>(std::move(change));
}

}  // namespace mica::guest
