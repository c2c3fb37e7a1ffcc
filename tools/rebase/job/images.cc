// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/images.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/open_chain.h"
#include "formats/parent_path.h"
#include "formats/registry.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

Result<void> CheckTarget(const path& vm, const path& target, const LayerInfo& found,
                         const ParentReference& current) {
  if (!found.sealed || !found.identity) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: expected a sealed master to rebase {} onto, found an image that "
                             "can still change; seal it first: mica seal {}",
                             target.string(), vm.string(), target.string())};
  }
  if (found.identity == current.identity) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} stands on {} already; there is nothing to rebase", vm.string(),
                             target.string())};
  }
  return {};
}

}  // namespace

Async<RebaseImages> OpenImages(Host& host, DiskState state, path target) {
  const path vm = state.file;
  RebaseImages images;
  images.vm_path = vm;
  images.target_path = target;
  images.parents = std::make_unique<ParentCache>(host);
  OpenChainOptions options;
  options.parents = images.parents.get();
  OpenChainOptions of_vm = options;
  of_vm.snapshot = state.snapshot;
  of_vm.without_locks = state.snapshot.has_value();
  CO_ASSIGN(images.vm, co_await OpenChain(host, vm, of_vm));
  const LayerInfo& head = images.vm->layer(0).info();
  if (!head.parent) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: expected a VM's delta over a master, found an image without a "
                                "parent",
                                vm.string())};
  }
  const ParentReference parent = *head.parent;
  options.format = parent.format;
  CO_ASSIGN(images.base, co_await OpenChain(host, ResolveParentPath(vm, parent.path), options));
  options.format.reset();
  CO_ASSIGN(images.target, co_await OpenChain(host, target, options));
  CO_TRY(CheckTarget(vm, target, images.target->layer(0).info(), parent));
  co_return images;
}

Async<RebaseImages> OpenMasters(Host& host, path base, path target) {
  RebaseImages images;
  images.target_path = target;
  images.parents = std::make_unique<ParentCache>(host);
  OpenChainOptions options;
  options.parents = images.parents.get();
  CO_ASSIGN(images.base, co_await OpenChain(host, base, options));
  CO_ASSIGN(images.target, co_await OpenChain(host, target, options));
  co_return images;
}

Async<void> CloseImages(RebaseImages& images) {
  Result<void> outcome;
  for (ImageChain* chain : {images.vm.get(), images.base.get(), images.target.get()}) {
    if (chain == nullptr) continue;
    Result<void> closed = co_await chain->Close();
    if (!closed && outcome) outcome = std::move(closed);
  }
  co_return outcome;
}

DeltaShape ShapeOfDelta(const RebaseImages& images) {
  DeltaShape shape;
  shape.virtual_size = std::max(images.vm->info().size, images.target->info().size);
  const SpaceControl* const space = images.vm->layer(0).controls().space;
  if (space != nullptr) shape.quota = space->quota();  // the VM's, whatever it stands on
  return shape;
}

Async<void> CreateDelta(Host& host, const RebaseImages& images, path delta) {
  CO_ASSIGN(const ImageFormat* const format, FindFormat("mica"));
  const LayerInfo& target = images.target->layer(0).info();
  CO_ASSIGN(const std::string recorded, RecordedParentPath(images.target_path, delta));
  CreateOptions options;
  const DeltaShape shape = ShapeOfDelta(images);
  options.virtual_size = shape.virtual_size;
  options.parent = ParentReference{recorded, target.format, target.identity};
  const SpaceQuota& quota = shape.quota;
  if (quota.hard_bytes != 0) options.extra["quota"] = std::to_string(quota.hard_bytes);
  if (quota.soft_bytes != 0) options.extra["quota_soft"] = std::to_string(quota.soft_bytes);
  co_return co_await format->Create(host, delta, options);
}

}  // namespace mica::rebase
