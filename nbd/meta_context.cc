// SPDX-License-Identifier: Apache-2.0
#include "nbd/meta_context.h"

#include <array>

namespace mica::nbd {

namespace {

void Append(std::vector<MetaExtent>& extents, MetaExtent added) {
  if (!extents.empty() && extents.back().flags == added.flags) {
    extents.back().length += added.length;
  } else {
    extents.push_back(added);
  }
}

class BaseAllocation final : public MetaContext {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "base:allocation"; }

  Async<std::vector<MetaExtent>> Describe(BlockDevice& device, ByteRange range,
                                          size_t extents_max) const override {
    CO_ASSIGN(const std::vector<StatusExtent> status, co_await device.Status(range, extents_max));
    std::vector<MetaExtent> extents;
    for (const StatusExtent& extent : status) {
      const uint32_t flags = (extent.hole ? kStateHole : 0) | (extent.zero ? kStateZero : 0);
      Append(extents, MetaExtent{.length = extent.length, .flags = flags});
    }
    if (extents.empty()) co_return Error{Errc::kIo, "the device gave no status"};
    co_return extents;
  }
};

}  // namespace

std::span<const MetaContext* const> MetaContexts() noexcept {
  static const BaseAllocation base_allocation;
  static const std::array<const MetaContext*, 1> contexts = {&base_allocation};
  return contexts;
}

bool Matches(const MetaContext& context, std::string_view query, QueryKind kind) noexcept {
  const std::string_view name = context.name();
  if (query == name) return true;
  return kind == QueryKind::kList && query == name.substr(0, name.find(':') + 1);
}

}  // namespace mica::nbd
