// SPDX-License-Identifier: Apache-2.0
// ParentStack: who owns what. Reading is in parent_stack_read.cc.
#include "engine/parent_stack.h"

#include <algorithm>

#include "engine/base/check.h"

namespace mica {

namespace {

// How much of the layers' maps is looked at in one go while a region is built.
constexpr uint64_t kWindowBytes = uint64_t{256} << 20;

void AppendRange(std::vector<ByteRange>& ranges, ByteRange next) {
  if (next.empty()) return;
  if (!ranges.empty() && ranges.back().end() == next.offset) {
    ranges.back().length += next.length;
  } else {
    ranges.push_back(next);
  }
}

void AppendRun(std::vector<OwnerRun>& runs, ByteRange guest, Owner owner) {
  if (guest.empty()) return;
  if (!runs.empty() && runs.back().owner == owner && runs.back().guest.end() == guest.offset) {
    runs.back().guest.length += guest.length;
  } else {
    runs.push_back(OwnerRun{guest, owner});
  }
}

// The runs with the gaps between them filled, an exact cover of `range`.
std::vector<OwnerRun> WithGaps(const std::vector<OwnerRun>& runs, ByteRange range) {
  std::vector<OwnerRun> all;
  const Owner nobody;
  uint64_t at = range.offset;
  for (const OwnerRun& run : runs) {
    AppendRun(all, RangeBetween(at, run.guest.offset), nobody);
    AppendRun(all, run.guest, run.owner);
    at = run.guest.end();
  }
  AppendRun(all, RangeBetween(at, range.end()), nobody);
  return all;
}

// Puts an exact cover of some blocks of a region into it. A block with more than one answer is
// kMixed; the last block of the device may be short, and is whole all the same.
void AddToRegion(const std::vector<OwnerRun>& runs, uint64_t region_offset, IndexRegion& region) {
  const Owner mixed{Owner::Kind::kMixed, 0};
  const uint64_t device_end = runs.empty() ? 0 : runs.back().guest.end();
  uint32_t done = 0;  // blocks before this one are in the region
  for (const OwnerRun& run : runs) {
    const uint64_t begin = run.guest.offset - region_offset;
    const uint64_t end = run.guest.end() - region_offset;
    const auto first_whole = static_cast<uint32_t>(DivideRoundUp(begin, kIndexBlockBytes));
    const bool last = run.guest.end() == device_end;
    const auto end_whole =
        static_cast<uint32_t>(last ? DivideRoundUp(end, kIndexBlockBytes) : end / kIndexBlockBytes);
    if (begin % kIndexBlockBytes != 0 && done < first_whole) {
      region.Append(first_whole - 1, first_whole, mixed);
      done = first_whole;
    }
    if (end_whole > done) {
      region.Append(std::max(done, first_whole), end_whole, run.owner);
      done = end_whole;
    }
  }
}

}  // namespace

ParentStack::ParentStack(EventLoop& loop, std::vector<std::shared_ptr<Layer>> layers,
                         ParentStackOptions options)
    : loop_(loop), layers_(std::move(layers)) {
  MICA_CHECK(!layers_.empty());
  uint64_t shown = UINT64_MAX;
  for (const std::shared_ptr<Layer>& layer : layers_) {
    const LayerInfo& info = layer->info();
    reads_.push_back(std::make_shared<LayerReads>(info.path));
    shown = std::min(shown, info.virtual_size);
    shown_.push_back(shown);
    shown = std::min(shown, info.parent_bytes);
    read_block_bytes_ = std::max(read_block_bytes_, info.digest_block_bytes);
  }
  if (layers_.size() == 1) return;
  const auto regions = static_cast<uint32_t>(DivideRoundUp(size(), kIndexRegionBytes));
  IndexSource& source = *this;
  index_ = std::make_unique<ChainIndex>(loop, source, regions, std::move(options.store),
                                        options.index_bytes_max);
}

ParentStack::~ParentStack() = default;

Async<std::vector<OwnerRun>> ParentStack::Ask(size_t from, ByteRange range) {
  std::vector<ByteRange> wanted{range};
  std::vector<OwnerRun> found;
  for (size_t position = from; position < layers_.size() && !wanted.empty(); ++position) {
    CO_ASSIGN(wanted, co_await AskLayer(position, wanted, found));
  }
  std::ranges::sort(found, {}, [](const OwnerRun& run) { return run.guest.offset; });
  co_return found;
}

// Returns what the layer leaves to those below it.
Async<std::vector<ByteRange>> ParentStack::AskLayer(size_t position,
                                                    const std::vector<ByteRange>& wanted,
                                                    std::vector<OwnerRun>& found) {
  Layer& layer = *layers_[position];
  const auto number = static_cast<uint32_t>(position);
  const ByteRange shown{0, shown_[position]};
  const Owner owner{Owner::Kind::kLayer, number};
  const Owner zero{Owner::Kind::kZero, number};
  std::vector<ByteRange> left;
  if (position + 1 == layers_.size()) {  // who else
    for (const ByteRange& range : wanted) AppendRun(found, Intersect(range, shown), owner);
    co_return left;
  }
  const ByteRange asked =
      Intersect(RangeBetween(wanted.front().offset, wanted.back().end()), shown);
  if (asked.empty()) co_return left;
  const uint64_t block_bytes = std::max<uint32_t>(layer.info().digest_block_bytes, 1);
  const ByteRange blocks =
      Intersect(AlignOutward(asked, block_bytes), ByteRange{0, layer.info().virtual_size});
  CO_ASSIGN(const Mapping mapping, co_await layer.Map(blocks));
  auto next = wanted.begin();
  for (const Extent& extent : mapping.extents) {
    while (next != wanted.end() && next->end() <= extent.guest.offset) ++next;
    for (auto range = next; range != wanted.end() && range->offset < extent.guest.end(); ++range) {
      const ByteRange part = Intersect(Intersect(extent.guest, *range), shown);
      if (extent.kind == ExtentKind::kUnallocated) {
        AppendRange(left, part);
      } else {
        AppendRun(found, part, extent.kind == ExtentKind::kZero ? zero : owner);
      }
    }
  }
  co_return left;
}

Async<IndexRegion> ParentStack::BuildRegion(uint32_t region) {
  const uint64_t begin = region * kIndexRegionBytes;
  const uint64_t end = std::min(size(), begin + kIndexRegionBytes);
  IndexRegion built;
  for (uint64_t at = begin; at < end; at += kWindowBytes) {
    const ByteRange window = RangeBetween(at, std::min(end, at + kWindowBytes));
    CO_ASSIGN(const std::vector<OwnerRun> found, co_await Ask(0, window));
    AddToRegion(WithGaps(found, window), begin, built);
    co_await loop_.Yield();
  }
  co_return built;
}

Async<std::vector<OwnerRun>> ParentStack::Owners(ByteRange range) {
  MICA_CHECK(range.end() <= size());
  std::vector<OwnerRun> runs;
  if (index_ == nullptr) {
    const Owner only{Owner::Kind::kLayer, 0};
    AppendRun(runs, range, only);
    co_return runs;
  }
  for (uint64_t at = range.offset; at < range.end();) {
    const uint64_t next =
        std::min(range.end(), AlignDown(at, kIndexRegionBytes) + kIndexRegionBytes);
    const ByteRange part = RangeBetween(at, next);
    CO_TRY(co_await OwnersInRegion(part, runs));
    at = next;
  }
  co_return runs;
}

std::optional<Owner> ParentStack::OwnerOfAll(ByteRange range) {
  const auto number = static_cast<uint32_t>(range.offset / kIndexRegionBytes);
  const IndexRegion* const region = index_->Lookup(number);
  if (region == nullptr) return std::nullopt;
  const uint64_t in_region = range.offset - number * kIndexRegionBytes;
  const auto block = static_cast<uint32_t>(in_region / kIndexBlockBytes);
  const IndexRegion::Found found = region->Find(block);
  const bool whole = in_region + range.length <= uint64_t{found.end_block} * kIndexBlockBytes;
  if (!whole || found.owner.kind == Owner::Kind::kMixed) return std::nullopt;
  return found.owner;
}

Async<void> ParentStack::OwnersInRegion(ByteRange range, std::vector<OwnerRun>& runs) {
  const auto number = static_cast<uint32_t>(range.offset / kIndexRegionBytes);
  const uint64_t region_offset = number * kIndexRegionBytes;
  CO_ASSIGN(const IndexRegion* region, co_await index_->Find(number));
  for (uint64_t at = range.offset; at < range.end();) {
    const auto block = static_cast<uint32_t>((at - region_offset) / kIndexBlockBytes);
    const IndexRegion::Found found = region->Find(block);
    const uint64_t end = region_offset + uint64_t{found.end_block} * kIndexBlockBytes;
    const ByteRange run = RangeBetween(at, std::min(end, range.end()));
    if (found.owner.kind != Owner::Kind::kMixed) {
      AppendRun(runs, run, found.owner);
    } else {
      CO_ASSIGN(const std::vector<OwnerRun> asked, co_await Ask(0, run));
      for (const OwnerRun& part : WithGaps(asked, run)) AppendRun(runs, part.guest, part.owner);
      CO_ASSIGN(region, co_await index_->Find(number));  // may be another one by now
    }
    at = run.end();
  }
  co_return Result<void>();
}

Async<void> ParentStack::BuildIndex() {
  if (index_ == nullptr) co_return Result<void>();
  for (uint64_t at = 0; at < size(); at += kIndexRegionBytes) {
    CO_TRY(co_await index_->Find(static_cast<uint32_t>(at / kIndexRegionBytes)));
  }
  co_return Result<void>();
}

Async<void> ParentStack::SaveIndex() {
  if (index_ == nullptr) co_return Result<void>();
  co_return co_await index_->Save();
}

}  // namespace mica
