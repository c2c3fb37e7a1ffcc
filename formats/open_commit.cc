// SPDX-License-Identifier: Apache-2.0
#include "formats/open_commit.h"

#include <fmt/format.h>

#include "formats/open_chain.h"
#include "formats/parent_path.h"
#include "formats/registry.h"

namespace mica {

namespace {

using std::filesystem::path;

Error StandsAlone(const path& delta) {
  return {Errc::kUnsupported,
          fmt::format("{}: expected a delta over a parent, found an image that stands alone",
                      delta.native())};
}

Error SealedParent(const path& delta, const path& parent) {
  return {Errc::kReadOnly,
          fmt::format("{}: expected a parent that can be written, found the sealed {}, which other "
                      "deltas may stand on; try `mica flatten {}` to make it stand alone, `mica "
                      "convert` for a new master with its changes, or `mica rebase` to move it to "
                      "another one",
                      delta.native(), parent.native(), delta.native())};
}

Result<void> CheckSizes(const path& delta, const OpenedCommit& opened) {
  const uint64_t wanted = opened.delta->info().size;
  const uint64_t found = opened.parent->info().size;
  if (found >= wanted) return {};
  return Error{Errc::kUnsupported,
               fmt::format("{}: expected a parent of at least {} bytes, found {} of {}; enlarge it "
                           "first: mica resize {} {}",
                           delta.native(), wanted, opened.parent_path.native(), found,
                           opened.parent_path.native(), wanted)};
}

// The layer alone: what the delta holds is read without its parents.
Async<std::unique_ptr<ImageChain>> OpenDelta(Host& host, path delta, bool writable) {
  CO_ASSIGN(const ImageFormat* const format, co_await ProbeFormat(host, delta));
  LayerOpenOptions open;
  open.writable = writable;
  open.lock = writable ? FileLock::kExclusive : FileLock::kShared;
  open.direct = true;
  std::vector<std::unique_ptr<Layer>> layers(1);
  CO_ASSIGN(layers.front(), co_await format->Open(host, delta, open));
  if (!layers.front()->info().parent) co_return StandsAlone(delta);
  co_return std::make_unique<ImageChain>(host.loop(), std::move(layers));
}

Async<std::unique_ptr<ImageChain>> OpenOther(Host& host, path image, std::string format,
                                             bool writable) {
  OpenChainOptions open;
  open.writable = writable;
  open.format = std::move(format);
  co_return co_await OpenChain(host, image, open);
}

}  // namespace

Async<OpenedCommit> OpenForCommit(Host& host, path delta, JobMode mode) {
  const bool writable = mode == JobMode::kDo;
  OpenedCommit opened;
  CO_ASSIGN(opened.delta, co_await OpenDelta(host, delta, writable));
  const ParentReference reference = *opened.delta->layer(0).info().parent;
  opened.parent_path = ResolveParentPath(delta, reference.path);
  if (reference.identity) co_return SealedParent(delta, opened.parent_path);
  Result<std::unique_ptr<ImageChain>> parent =
      co_await OpenOther(host, opened.parent_path, reference.format, writable);
  if (!parent) {
    if (parent.error().code == Errc::kReadOnly) co_return SealedParent(delta, opened.parent_path);
    const std::string context = fmt::format("the parent of {}", delta.native());
    co_return std::move(parent).error().WithContext(context);
  }
  opened.parent = *std::move(parent);
  const LayerInfo info = opened.parent->layer(0).info();
  if (info.sealed) co_return SealedParent(delta, opened.parent_path);
  CO_TRY(CheckSizes(delta, opened));
  if (info.parent) {
    const path below = ResolveParentPath(opened.parent_path, info.parent->path);
    CO_ASSIGN(opened.below_parent, co_await OpenOther(host, below, info.parent->format, false));
  }
  co_return opened;
}

Async<void> CloseCommit(OpenedCommit& opened) {
  Result<void> outcome;
  for (ImageChain* const chain :
       {opened.parent.get(), opened.delta.get(), opened.below_parent.get()}) {
    if (chain == nullptr) continue;
    Result<void> closed = co_await chain->Close();
    if (!closed && outcome) outcome = std::move(closed);
  }
  co_return outcome;
}

}  // namespace mica
