// SPDX-License-Identifier: Apache-2.0
// Metadata contexts ("Metadata querying"): what BLOCK_STATUS can tell about ranges of an export.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "nbd/export.h"
#include "nbd/reply.h"

namespace mica::nbd {

// A new context is one class and one line in ContextsOf().
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
  virtual Async<std::vector<MetaExtent>> Describe(ByteRange range, size_t extents_max) const = 0;
};

using MetaContextList = std::vector<std::shared_ptr<const MetaContext>>;

// What can be asked about `target` now, always in the same order. Lives no longer than the export's
// device.
MetaContextList ContextsOf(const Export& target);

enum class QueryKind : uint8_t {
  kList,    // "base:", "qemu:" and "qemu:dirty-bitmap:" ask for everything that begins so
  kSelect,  // only a full name selects
};
bool Matches(const MetaContext& context, std::string_view query, QueryKind kind) noexcept;

// A context a client has chosen, and the number replies name it by.
struct SelectedContext {
  std::shared_ptr<const MetaContext> context;
  uint32_t id = 0;
};

}  // namespace mica::nbd
