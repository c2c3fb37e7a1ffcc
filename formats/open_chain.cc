// SPDX-License-Identifier: Apache-2.0
#include "formats/open_chain.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "formats/identity_text.h"
#include "formats/parent_path.h"
#include "formats/registry.h"

namespace mica {

namespace {

Async<const ImageFormat*> HeadFormat(Host& host, const std::filesystem::path& path,
                                     const OpenChainOptions& options) {
  if (options.format) co_return FindFormat(*options.format);
  CO_ASSIGN(const ImageFormat* format, co_await ProbeFormat(host, path));
  if (options.writable && format->name() == "raw") {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: no known format was found in it and a raw image is never "
                                "written by guess; say -f raw if it is one",
                                path.string())};
  }
  co_return format;
}

// An image that is only read, and locked for that, is one that others may read with us.
Async<std::shared_ptr<Layer>> OpenToRead(Host& host, const ImageFormat& format,
                                         std::filesystem::path path, OpenChainOptions options) {
  if (!options.without_locks) co_return co_await options.parents->Open(format, path);
  LayerOpenOptions open;
  open.lock = FileLock::kNone;
  CO_ASSIGN(std::shared_ptr<Layer> layer, co_await format.Open(host, path, open));
  co_return layer;
}

Async<std::shared_ptr<Layer>> OpenHead(Host& host, std::filesystem::path path,
                                       OpenChainOptions options) {
  CO_ASSIGN(const ImageFormat* const format, co_await HeadFormat(host, path, options));
  if (!options.writable && !options.snapshot) {
    co_return co_await OpenToRead(host, *format, path, options);
  }
  LayerOpenOptions open;
  open.writable = options.writable;
  open.direct = options.writable && !options.buffered;
  open.snapshot = options.snapshot;
  open.cache_limit = options.parents->map_limit();
  open.lock = options.writable ? FileLock::kExclusive : FileLock::kShared;
  if (options.without_locks) open.lock = FileLock::kNone;
  CO_ASSIGN(std::shared_ptr<Layer> layer, co_await format->Open(host, path, open));
  co_return layer;
}

Result<void> CheckIdentity(const std::filesystem::path& child, const std::filesystem::path& parent,
                           const ParentReference& reference, const LayerInfo& found) {
  if (!reference.identity || reference.identity == found.identity) return {};
  return Error{
      Errc::kMismatch,
      fmt::format("{} is not the parent that {} was made on: expected {}, found {}; put the "
                  "original master back, or carry the delta over with `mica rebase {} --onto {}`",
                  parent.string(), child.string(), IdentityText(reference.identity),
                  IdentityText(found.identity), child.string(), parent.string())};
}

Async<std::shared_ptr<Layer>> OpenParent(Host& host, std::filesystem::path child,
                                         std::filesystem::path path, ParentReference reference,
                                         OpenChainOptions options) {
  CO_ASSIGN(const ImageFormat* const format, FindFormat(reference.format));
  Result<std::shared_ptr<Layer>> layer = co_await OpenToRead(host, *format, path, options);
  if (!layer) {
    const std::string context = fmt::format("the parent of {}", child.string());
    co_return std::move(layer).error().WithContext(context);
  }
  CO_TRY(CheckIdentity(child, path, reference, (*layer)->info()));
  co_return layer;
}

// Which of the files exist decides, so a name with '@' in it can still be meant.
Task<bool> Exists(Host& host, std::filesystem::path path) {
  const Result<FileStat> stat = co_await host.Stat(path);
  co_return stat.has_value();
}

// From the parent of `child` down.
Async<std::vector<std::shared_ptr<Layer>>> OpenParents(Host& host, std::filesystem::path path,
                                                       std::optional<ParentReference> reference,
                                                       OpenChainOptions options) {
  std::vector<std::shared_ptr<Layer>> layers;
  std::set<std::filesystem::path> seen;
  seen.insert(path.lexically_normal());
  while (reference) {
    const std::filesystem::path parent = ResolveParentPath(path, reference->path);
    if (!seen.insert(parent).second || layers.size() + 1 == kChainDepthMax) {
      co_return Error{
          Errc::kLimit,
          fmt::format("{} names {} as its parent, which makes a loop or a chain of more "
                      "than {} images",
                      path.string(), parent.string(), kChainDepthMax)};
    }
    CO_ASSIGN(std::shared_ptr<Layer> layer,
              co_await OpenParent(host, path, parent, *reference, options));
    reference = layer->info().parent;
    layers.push_back(std::move(layer));
    path = parent;
  }
  co_return layers;
}

}  // namespace

Async<ImageName> ResolveImageName(Host& host, std::filesystem::path name) {
  const std::string text = name.native();
  ImageName resolved;
  resolved.file = name;
  if (co_await Exists(host, name)) co_return resolved;
  for (size_t at = text.rfind('@'); at != std::string::npos && at > 0;
       at = text.rfind('@', at - 1)) {
    const std::filesystem::path file = text.substr(0, at);
    const std::string snapshot = text.substr(at + 1);
    const bool exists = co_await Exists(host, file);
    if (!exists || snapshot.find('/') != std::string::npos) continue;
    resolved.file = file;
    resolved.snapshot = snapshot;
    break;
  }
  co_return resolved;
}

Async<std::unique_ptr<ImageChain>> OpenChain(Host& host, std::filesystem::path path,
                                             OpenChainOptions options) {
  if (!options.snapshot) {
    CO_ASSIGN(ImageName name, co_await ResolveImageName(host, path));
    path = std::move(name.file);
    options.snapshot = std::move(name.snapshot);
  }
  if (options.snapshot && options.writable) {
    co_return Error{Errc::kReadOnly,
                    fmt::format("{}@{}: a snapshot cannot be written; go back to it with `mica "
                                "snapshot -a`, or convert it to an image of its own",
                                path.string(), *options.snapshot)};
  }
  ParentCache own(host);
  if (options.parents == nullptr) options.parents = &own;
  CO_ASSIGN(std::shared_ptr<Layer> head, co_await OpenHead(host, path, options));
  CO_ASSIGN(std::vector<std::shared_ptr<Layer>> layers,
            co_await OpenParents(host, path, head->info().parent, options));
  std::shared_ptr<ParentStack> parents;
  if (!layers.empty()) parents = options.parents->Stack(std::move(layers));
  co_return std::make_unique<ImageChain>(host.loop(), std::move(head), std::move(parents));
}

Async<void> PrepareIndex(Host& host, std::filesystem::path path) {
  ParentCache cache(host);
  OpenChainOptions options;
  options.parents = &cache;
  CO_ASSIGN(std::shared_ptr<Layer> top, co_await OpenHead(host, path, options));
  if (!top->info().sealed || !top->info().parent) co_return Result<void>();
  CO_ASSIGN(std::vector<std::shared_ptr<Layer>> layers,
            co_await OpenParents(host, path, top->info().parent, options));
  layers.insert(layers.begin(), std::move(top));
  const std::shared_ptr<ParentStack> stack = cache.Stack(std::move(layers));
  CO_TRY(co_await stack->BuildIndex());
  co_return co_await stack->SaveIndex();
}

}  // namespace mica
