// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/staged.h"

#include <fmt/format.h>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"
#include "tools/rebase/job/generations.h"

namespace mica::rebase {

using std::filesystem::path;

namespace {

constexpr std::string_view kSnapshotPrefix = "mica-staged-";

StagedDelta Numbered(const path& vm, uint32_t number) {
  return {StagedName(vm, number), fmt::format("{}{}", kSnapshotPrefix, number)};
}

Error Misfit(const StagedDelta& staged, std::string_view what) {
  return {Errc::kMismatch, fmt::format("{} {}", staged.delta.string(), what)};
}

}  // namespace

Async<std::optional<StagedDelta>> LastStaged(Host& host, path vm) {
  CO_ASSIGN(const uint32_t number, co_await LastStagedNumber(host, vm));
  std::optional<StagedDelta> staged;
  if (number != 0) staged = Numbered(vm, number);
  co_return staged;
}

Async<StagedDelta> NextStaged(Host& host, path vm) {
  CO_ASSIGN(const uint32_t number, co_await NextStagedNumber(host, vm));
  co_return Numbered(vm, number);
}

Result<void> CheckStaged(Host& host, const RebaseImages& images, const StagedDelta& staged) {
  OpenChainOptions open;
  open.parents = images.parents.get();
  ASSIGN(const std::unique_ptr<ImageChain> chain,
         SyncWait(host.loop(), OpenChain(host, staged.delta, open)));
  const LayerInfo& head = chain->layer(0).info();
  const auto& target = images.target->layer(0).info().identity;
  const SpaceControl* const space = chain->layer(0).controls().space;
  DeltaShape shape;
  shape.virtual_size = head.virtual_size;
  if (space != nullptr) shape.quota = space->quota();
  const bool same_target = head.parent && head.parent->identity == target;
  TRY(SyncWait(host.loop(), chain->Close()));
  if (!same_target) return Misfit(staged, "was made for another master");
  if (shape != ShapeOfDelta(images)) return Misfit(staged, "has another size or quota");
  return {};
}

Result<void> RemoveStaged(Host& host, const path& vm, const std::optional<StagedDelta>& but) {
  ASSIGN(const uint32_t last, SyncWait(host.loop(), LastStagedNumber(host, vm)));
  for (uint32_t number = 1; number <= last; ++number) {
    const path name = StagedName(vm, number);
    if (but && but->delta == name) continue;
    if (SyncWait(host.loop(), host.Stat(name))) TRY(SyncWait(host.loop(), DropKept(host, name)));
  }
  return {};
}

std::optional<path> StagedDeltaOf(const path& file, std::string_view snapshot) {
  if (!snapshot.starts_with(kSnapshotPrefix)) return std::nullopt;
  path delta = file;
  delta += fmt::format(".staged-{}", snapshot.substr(kSnapshotPrefix.size()));
  return delta;
}

}  // namespace mica::rebase
