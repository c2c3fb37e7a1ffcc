// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/chain_bitmaps.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/snapshot_control.h"

namespace mica {

namespace {

constexpr std::string_view kParent = "parent";
constexpr std::string_view kParentNumber = "parent:";
constexpr std::string_view kSince = "since:";
// Looking at all of a large range is pointless when the answer holds so many extents only.
constexpr uint64_t kStepBytes = uint64_t{1} << 30;

Error Gone(std::string_view name) {
  return Error{Errc::kNotFound, fmt::format("there is no bitmap '{}' any more", name)};
}

// The number in "parent" or "parent:N".
std::optional<uint32_t> ParentNumber(std::string_view name) {
  if (name == kParent) return 1;
  if (!name.starts_with(kParentNumber)) return std::nullopt;
  const std::string_view digits = name.substr(kParentNumber.size());
  uint32_t number = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

void Append(std::vector<nbd::DirtyExtent>& extents, uint64_t length, bool dirty) {
  if (length == 0) return;
  if (!extents.empty() && extents.back().dirty == dirty) {
    extents.back().length += length;
  } else {
    extents.push_back({.length = length, .dirty = dirty});
  }
}

}  // namespace

Async<void> ChainBitmaps::Refresh() {
  SnapshotControl* const control = chain_.layer(0).controls().snapshots;
  if (control == nullptr) co_return Result<void>();
  CO_ASSIGN(const std::vector<SnapshotInfo> snapshots, co_await control->List());
  snapshots_.clear();
  for (const SnapshotInfo& snapshot : snapshots) snapshots_.push_back(snapshot.name);
  co_return Result<void>();
}

std::vector<std::string> ChainBitmaps::Names() const {
  std::vector<std::string> names;
  for (size_t depth = 1; depth < chain_.depth(); ++depth) {
    names.push_back(depth == 1 ? std::string(kParent) : fmt::format("{}{}", kParentNumber, depth));
  }
  for (const std::string& snapshot : snapshots_) names.push_back(std::string(kSince) + snapshot);
  return names;
}

Async<std::vector<nbd::DirtyExtent>> ChainBitmaps::Describe(std::string_view name, ByteRange range,
                                                            size_t extents_max) {
  if (name.starts_with(kSince)) {
    co_return co_await SinceSnapshot(name.substr(kSince.size()), range, extents_max);
  }
  const std::optional<uint32_t> depth = ParentNumber(name);
  if (!depth || *depth == 0 || *depth >= chain_.depth()) co_return Gone(name);
  co_return co_await AgainstParent(*depth, range, extents_max);
}

Async<std::vector<nbd::DirtyExtent>> ChainBitmaps::AgainstParent(uint32_t depth, ByteRange range,
                                                                 size_t extents_max) {
  CO_ASSIGN(const std::vector<StatusExtent> status, co_await chain_.Status(range, extents_max));
  std::vector<nbd::DirtyExtent> extents;
  for (const StatusExtent& extent : status) {
    Append(extents, extent.length, extent.depth != 0 && extent.depth <= depth);
  }
  co_return extents;
}

Async<std::vector<nbd::DirtyExtent>> ChainBitmaps::SinceSnapshot(std::string_view name,
                                                                 ByteRange range,
                                                                 size_t extents_max) {
  SnapshotControl* const control = chain_.layer(0).controls().snapshots;
  if (control == nullptr) co_return Gone(name);
  CO_ASSIGN(const std::vector<SnapshotInfo> snapshots, co_await control->List());
  const auto found = std::ranges::find(snapshots, name, &SnapshotInfo::name);
  if (found == snapshots.end()) co_return Gone(name);
  std::vector<nbd::DirtyExtent> extents;
  while (!range.empty() && extents.size() <= extents_max) {
    const ByteRange step{range.offset, std::min(range.length, kStepBytes)};
    CO_ASSIGN(const std::vector<ByteRange> changed,
              co_await control->ChangedSince(found->epoch, step));
    uint64_t at = step.offset;
    for (const ByteRange& part : changed) {
      Append(extents, part.offset - at, false);
      Append(extents, part.length, true);
      at = part.end();
    }
    Append(extents, step.end() - at, false);
    range = RangeBetween(step.end(), range.end());
  }
  extents.resize(std::min(extents.size(), extents_max));
  co_return extents;
}

}  // namespace mica
