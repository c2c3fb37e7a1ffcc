// SPDX-License-Identifier: Apache-2.0
// MicaLayer: opening state, mapping, flush and close. Changes are in mica_layer_write.cc.
#include "formats/mica/mica_layer.h"

#include <algorithm>

namespace mica::native {

MicaLayer::MicaLayer(std::shared_ptr<OpenImage> open, bool writable)
    : open_(std::move(open)),
      image_(open_->image),
      snapshots_(*open_, info_),
      space_control_(*open_, writable) {
  const Superblock& superblock = image_.superblock;
  info_.format = "mica";
  info_.path = image_.path.string();
  info_.virtual_size = superblock.virtual_size;
  info_.cluster_bytes = kSlotBytes;
  info_.digest_block_bytes = kSlotBytes;
  info_.writable = writable;
  info_.unmaps_quickly = true;
  info_.sealed = superblock.sealed;
  info_.parent = superblock.parent;
  if (superblock.sealed) {
    LayerIdentity identity;
    identity.uuid = superblock.uuid;
    identity.digest = superblock.seal_digest;
    identity.virtual_size = superblock.virtual_size;
    info_.identity = identity;
  }
}

LayerControls MicaLayer::controls() noexcept {
  LayerControls controls;
  controls.snapshots = &snapshots_;
  controls.parent = this;
  controls.space = &space_control_;
  return controls;
}

MicaLayer::~MicaLayer() {
  open_->Abandon();
}

namespace {

ExtentKind KindOf(const LeafEntry& entry) {
  if (entry.slot == kSlotAbsent || entry.slot == kSlotSameAsParent) return ExtentKind::kUnallocated;
  if (entry.slot == kSlotZero) return ExtentKind::kZero;
  return ExtentKind::kData;
}

// Adds [first_block, end_block) in one state to a mapping of `range`, merging what continues.
class MappingBuilder {
 public:
  MappingBuilder(ByteRange range, Mapping& mapping) : range_(range), mapping_(mapping) {}

  void Add(uint64_t first_block, uint64_t end_block, const LeafEntry& entry) {
    Extent extent;
    extent.guest =
        Intersect(RangeBetween(first_block * kSlotBytes, end_block * kSlotBytes), range_);
    extent.kind = KindOf(entry);
    if (extent.kind == ExtentKind::kData) {
      extent.host_offset = SlotOffset(entry.slot) + extent.guest.offset % kSlotBytes;
      extent.first_digest = static_cast<uint32_t>(mapping_.digests.size());
      mapping_.digests.push_back(entry.digest);
    }
    if (!mapping_.extents.empty()) {
      Extent& last = mapping_.extents.back();
      const bool continues =
          last.kind == extent.kind && (extent.kind != ExtentKind::kData ||
                                       last.host_offset + last.guest.length == extent.host_offset);
      if (continues) {
        last.guest.length += extent.guest.length;
        return;
      }
    }
    mapping_.extents.push_back(extent);
  }

 private:
  const ByteRange range_;
  Mapping& mapping_;
};

}  // namespace

Async<Mapping> MicaLayer::Map(ByteRange range) {
  Mapping mapping;
  // Before the first look: from now on slots that are replaced stay as they are.
  mapping.pin = image_.reclaimer.Pin();
  MappingBuilder builder(range, mapping);
  // From here on the parent does not show through.
  const uint64_t zero_block =
      info_.parent ? DivideRoundUp(image_.superblock.parent_bytes, kSlotBytes) : UINT64_MAX;
  const uint64_t end = DivideRoundUp(range.end(), kSlotBytes);
  for (uint64_t block = range.offset / kSlotBytes; block < end;) {
    BlockMap::Found found = image_.map.Lookup(block);
    if (found.kind == BlockMap::Found::Kind::kMustLoad) {
      Result<BlockMap::Found> loaded = co_await image_.map.Find(block);
      if (!loaded) co_return std::move(loaded).error().WithContext(info_.path);
      found = *loaded;
    }
    uint64_t next = std::min(end, found.end_block);
    if (block < zero_block) next = std::min(next, zero_block);
    const LeafEntry otherwise{block < zero_block ? kSlotAbsent : kSlotZero, 0, 0};
    if (found.kind == BlockMap::Found::Kind::kAbsent) {
      builder.Add(block, next, otherwise);
    } else {
      for (uint64_t i = block; i < next; ++i) {
        const LeafEntry entry = found.leaf->Get(static_cast<uint32_t>(i % kBlocksPerLeaf));
        builder.Add(i, i + 1, entry.slot == kSlotAbsent ? otherwise : entry);
      }
    }
    block = next;
  }
  co_return mapping;
}

Async<void> MicaLayer::Flush() {
  if (!info_.writable) co_return Result<void>();
  Result<void> flushed = co_await open_->committer.Flush();
  open_->Tend();
  co_return flushed;
}

Async<void> MicaLayer::Close() {
  CO_TRY(co_await open_->Quiesce());
  if (!info_.writable) co_return Result<void>();
  if (image_.superseded && !image_.poison) co_return co_await CloseSuperseded();
  CO_TRY(image_.CheckHealthy());
  if (image_.superblock.clean && image_.pending.empty()) {
    // A snapshot may have been deleted all the same.
    co_return co_await open_->GiveBackIfWorthIt();
  }
  const std::optional<std::array<uint8_t, 16>> no_seal;
  co_return co_await open_->CloseClean(no_seal);
}

// The file holds another disk now, and durably so; what only the one of this layer used goes back
// to the host. Who opens it next meets the errors.
Async<void> MicaLayer::CloseSuperseded() {
  OpenOptions options;
  options.writable = true;
  const Result<std::shared_ptr<OpenImage>> now =
      co_await OpenMicaImage(image_.loop, image_.path, std::move(image_.file), options);
  if (now) static_cast<void>(co_await (*now)->GiveBack());
  co_return Result<void>();
}

}  // namespace mica::native
