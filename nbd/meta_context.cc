// SPDX-License-Identifier: Apache-2.0
#include "nbd/meta_context.h"

#include <algorithm>
#include <string>
#include <utility>

#include "nbd/bitmap_source.h"

namespace mica::nbd {

namespace {

// QEMU's documentation, docs/interop/nbd.rst: bit 0 of a bitmap's status.
constexpr uint32_t kStateDirty = 1u << 0;
constexpr std::string_view kBitmapPrefix = "qemu:dirty-bitmap:";

// Extents of the device that are looked at beyond what a client wants: several may look the same to
// it, as data of two layers does.
constexpr size_t kLookAheadExtents = 1024;

void Append(std::vector<MetaExtent>& extents, MetaExtent added) {
  if (!extents.empty() && extents.back().flags == added.flags) {
    extents.back().length += added.length;
  } else {
    extents.push_back(added);
  }
}

// What the status of the device says, one number per extent.
using FlagsOf = uint32_t (*)(const StatusExtent& extent);

uint32_t AllocationFlags(const StatusExtent& extent) {
  return (extent.hole ? kStateHole : 0) | (extent.zero ? kStateZero : 0);
}

uint32_t DepthFlags(const StatusExtent& extent) {
  return extent.depth;
}

class StatusContext final : public MetaContext {
 public:
  StatusContext(std::string_view name, BlockDevice& device, FlagsOf flags_of)
      : name_(name), device_(device), flags_of_(flags_of) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }

  Async<std::vector<MetaExtent>> Describe(ByteRange range, size_t extents_max) const override {
    std::vector<MetaExtent> extents;
    size_t looked_at = 0;
    size_t batch = extents_max + 1;  // one more tells that the last one ends
    while (!range.empty() && extents.size() <= extents_max &&
           looked_at < extents_max + kLookAheadExtents) {
      CO_ASSIGN(const std::vector<StatusExtent> status, co_await device_.Status(range, batch));
      if (status.empty()) co_return Error{Errc::kIo, "the device gave no status"};
      for (const StatusExtent& extent : status) {
        Append(extents, MetaExtent{.length = extent.length, .flags = flags_of_(extent)});
        range = RangeBetween(range.offset + extent.length, range.end());
      }
      looked_at += status.size();
      batch = std::max(batch, std::min(2 * batch, kLookAheadExtents));
    }
    if (extents.size() > extents_max) extents.resize(extents_max);
    co_return extents;
  }

 private:
  std::string_view name_;  // a literal
  BlockDevice& device_;
  FlagsOf flags_of_;
};

class BitmapContext final : public MetaContext {
 public:
  BitmapContext(const std::string& bitmap, BitmapSource& source)
      : name_(std::string(kBitmapPrefix) + bitmap), source_(source) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }

  Async<std::vector<MetaExtent>> Describe(ByteRange range, size_t extents_max) const override {
    const std::string_view bitmap = name().substr(kBitmapPrefix.size());
    CO_ASSIGN(const std::vector<DirtyExtent> dirty,
              co_await source_.Describe(bitmap, range, extents_max));
    std::vector<MetaExtent> extents;
    for (const DirtyExtent& extent : dirty) {
      Append(extents, {.length = extent.length, .flags = extent.dirty ? kStateDirty : 0});
    }
    if (extents.empty()) co_return Error{Errc::kIo, "the bitmap gave no extents"};
    co_return extents;
  }

 private:
  std::string name_;
  BitmapSource& source_;
};

}  // namespace

MetaContextList ContextsOf(const Export& target) {
  BlockDevice& device = *target.device;
  MetaContextList contexts;
  contexts.push_back(std::make_shared<StatusContext>("base:allocation", device, &AllocationFlags));
  if (target.allocation_depth) {
    contexts.push_back(
        std::make_shared<StatusContext>("qemu:allocation-depth", device, &DepthFlags));
  }
  if (target.bitmaps == nullptr) return contexts;
  for (const std::string& bitmap : target.bitmaps->Names()) {
    if (bitmap.size() > kStringBytesMax - kBitmapPrefix.size()) continue;  // cannot be named
    contexts.push_back(std::make_shared<BitmapContext>(bitmap, *target.bitmaps));
  }
  return contexts;
}

bool Matches(const MetaContext& context, std::string_view query, QueryKind kind) noexcept {
  const std::string_view name = context.name();
  if (query == name) return true;
  return kind == QueryKind::kList && query.ends_with(':') && name.starts_with(query);
}

}  // namespace mica::nbd
