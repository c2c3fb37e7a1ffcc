// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/layer_view.h"

#include "formats/open_chain.h"
#include "formats/parent_path.h"
#include "tools/cli/image_file.h"
#include "tools/cli/image_map.h"

namespace mica {

namespace {

// What the parents hold of the disk; nothing when the chain cannot be opened or read.
Task<std::optional<uint64_t>> SharedBytes(Host& host, ImageName name, std::string_view format) {
  OpenChainOptions options;
  options.format = std::string(format);
  options.without_locks = true;
  options.snapshot = name.snapshot;
  const Result<std::unique_ptr<ImageChain>> chain = co_await OpenChain(host, name.file, options);
  if (!chain) co_return std::nullopt;
  uint64_t shared = 0;
  std::function<void(const MapEntry&)> add = [&shared](const MapEntry& entry) {
    if (entry.depth > 0 && entry.data) shared += entry.guest.length;
  };
  const Result<void> mapped = co_await MapImage(**chain, std::move(add));
  const Result<void> closed = co_await (*chain)->Close();
  if (!mapped || !closed) co_return std::nullopt;
  co_return shared;
}

}  // namespace

Async<LayerView> ViewLayer(Host& host, std::filesystem::path path,
                           std::optional<std::string> format_name, LayerDetail detail) {
  CO_ASSIGN(const ImageName name, co_await ResolveImageName(host, path));
  path = name.file;
  CO_ASSIGN(const ImageFormat* const format, co_await FormatOf(host, path, format_name));
  LayerView view;
  view.snapshot = name.snapshot;
  LayerOpenOptions options;
  options.snapshot = name.snapshot;
  Result<std::unique_ptr<Layer>> layer = co_await format->Open(host, path, options);
  if (!layer && layer.error().code == Errc::kBusy) {
    view.in_use = true;
    options.lock = FileLock::kNone;
    layer = co_await format->Open(host, path, options);
  }
  if (!layer) co_return std::move(layer).error();
  view.info = (*layer)->info();
  if (SnapshotControl* const control = (*layer)->controls().snapshots) {
    view.epoch = control->Epoch();
    CO_ASSIGN(view.snapshots, co_await control->List());
  }
  if (SpaceControl* const space = (*layer)->controls().space; space != nullptr) {
    view.quota = space->quota();
    if (detail == LayerDetail::kSpace) {
      // Of a damaged image, or one that changes meanwhile, it may not be known.
      const Result<SpaceUsage> usage = co_await space->Usage();
      if (usage) view.usage = *usage;
      if (view.info.parent) view.shared_bytes = co_await SharedBytes(host, name, format->name());
    }
  }
  CO_TRY(co_await (*layer)->Close());
  CO_ASSIGN(const FileStat stat, co_await host.Stat(path));
  view.file_bytes = stat.size;
  view.allocated_bytes = stat.allocated_bytes;
  if (view.info.parent) view.parent_path = ResolveParentPath(path, view.info.parent->path);
  co_return view;
}

Async<ChainView> ViewChain(Host& host, std::filesystem::path path,
                           std::optional<std::string> format) {
  ChainView chain;
  CO_ASSIGN(LayerView head, co_await ViewLayer(host, path, format, LayerDetail::kSpace));
  chain.layers.push_back(std::move(head));
  while (chain.layers.back().parent_path && chain.layers.size() < kChainDepthMax) {
    const LayerView& child = chain.layers.back();
    Result<LayerView> parent = co_await ViewLayer(host, *child.parent_path,
                                                  child.info.parent->format, LayerDetail::kSpace);
    if (!parent) break;
    chain.layers.push_back(*std::move(parent));
  }
  // The verdict on the whole is the same that every other verb gets.
  OpenChainOptions options;
  options.format = format;
  options.without_locks = true;
  Result<std::unique_ptr<ImageChain>> opened = co_await OpenChain(host, path, options);
  if (!opened) {
    chain.fault = std::move(opened).error();
  } else {
    CO_TRY(co_await (*opened)->Close());
  }
  co_return chain;
}

}  // namespace mica
