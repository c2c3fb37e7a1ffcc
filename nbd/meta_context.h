// SPDX-License-Identifier: Apache-2.0
// Metadata contexts ("Metadata querying"): what BLOCK_STATUS can tell about ranges of an export.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "engine/block_device.h"
#include "nbd/reply.h"

namespace mica::nbd {

// Stateless. A new context is one class and one line in MetaContexts().
class MetaContext {
 public:
  MetaContext() = default;
  MetaContext(const MetaContext&) = delete;
  MetaContext& operator=(const MetaContext&) = delete;
  virtual ~MetaContext() = default;

  // "namespace:leaf"
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  // Covers `range` (not empty) from its start, in order, neighbours merged; at most `extents_max`
  // extents, at least one, none longer than the range.
  virtual Async<std::vector<MetaExtent>> Describe(BlockDevice& device, ByteRange range,
                                                  size_t extents_max) const = 0;
};

// All contexts this server knows, for the life of the program.
std::span<const MetaContext* const> MetaContexts() noexcept;

enum class QueryKind : uint8_t {
  kList,    // "base:" asks for everything in the namespace
  kSelect,  // only a full name selects
};
bool Matches(const MetaContext& context, std::string_view query, QueryKind kind) noexcept;

// A context a client has chosen, and the number replies name it by.
struct SelectedContext {
  const MetaContext* context = nullptr;
  uint32_t id = 0;
};

}  // namespace mica::nbd
