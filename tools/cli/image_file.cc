// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/image_file.h"

#include <fmt/core.h>

#include "formats/parent_path.h"
#include "formats/registry.h"

namespace mica {

namespace {

Error NotSealed(const std::filesystem::path& path) {
  return {Errc::kReadOnly, fmt::format("{}: expected a sealed image as parent, found one that can "
                                       "still change; try `mica seal {}` first",
                                       path.native(), path.native())};
}

}  // namespace

Async<const ImageFormat*> FormatOf(Host& host, std::filesystem::path path,
                                   std::optional<std::string> name) {
  if (name) co_return FindFormat(*name);
  co_return co_await ProbeFormat(host, path);
}

Async<OpenParentImage> OpenParent(Host& host, std::filesystem::path path,
                                  std::optional<std::string> format, ParentSeal seal) {
  OpenChainOptions options;
  options.format = std::move(format);
  OpenParentImage parent;
  parent.path = path;
  CO_ASSIGN(parent.chain, co_await OpenChain(host, path, options));
  if (seal == ParentSeal::kRequired && !parent.info().sealed) co_return NotSealed(path);
  co_return parent;
}

Result<ParentReference> ReferenceTo(const OpenParentImage& parent,
                                    const std::filesystem::path& child) {
  ParentReference reference;
  ASSIGN(reference.path, RecordedParentPath(parent.path, child));
  reference.format = parent.info().format;
  reference.identity = parent.info().identity;
  return reference;
}

Async<void> CheckImageDestination(Host& host, std::filesystem::path path, OnExisting on_existing) {
  CO_TRY(co_await CheckDestination(host, path, on_existing));
  if (on_existing == OnExisting::kRefuse) co_return Result<void>();
  const Result<const ImageFormat*> format = co_await ProbeFormat(host, path);
  if (!format) co_return Result<void>();
  const LayerOpenOptions options;
  const Result<std::unique_ptr<Layer>> layer = co_await (*format)->Open(host, path, options);
  // What cannot be opened any more may be replaced: that is what --force is for.
  if (!layer || !(*layer)->info().sealed) co_return Result<void>();
  co_return Error{Errc::kReadOnly,
                  fmt::format("{}: expected an image that may be replaced, found a sealed one that "
                              "deltas may depend on; try another name, or remove it yourself",
                              path.native())};
}

Async<void> CreateImage(Host& host, NewImage image) {
  CO_TRY(co_await CheckImageDestination(host, image.path, image.on_existing));
  TemporaryFile file(image.path);
  const Result<void> created = co_await image.format->Create(host, file.path(), image.options);
  if (!created) co_return file.InTermsOfDestination(created.error());
  CO_TRY(co_await file.Publish(host, image.on_existing));
  co_return Result<void>();
}

}  // namespace mica
