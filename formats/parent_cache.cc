// SPDX-License-Identifier: Apache-2.0
#include "formats/parent_cache.h"

namespace mica {

namespace {

bool SameFile(const FileStat& a, const FileStat& b) noexcept {
  return a.id == b.id && a.size == b.size && a.modified_ns == b.modified_ns;
}

}  // namespace

Async<std::shared_ptr<Layer>> ParentCache::Open(const ImageFormat& format,
                                                std::filesystem::path path) {
  const Result<FileStat> before = co_await host_.Stat(path);
  if (before) {
    const auto found = layers_.find(LayerKey(before->id, &format));
    if (found != layers_.end() && SameFile(found->second.stat, *before)) {
      if (std::shared_ptr<Layer> layer = found->second.layer.lock()) co_return layer;
    }
  }
  LayerOpenOptions options;
  options.lock = FileLock::kShared;
  options.cache_limit = map_limit_;
  CO_ASSIGN(std::unique_ptr<Layer> opened, co_await format.Open(host_, path, options));
  std::shared_ptr<Layer> layer = std::move(opened);
  const Result<FileStat> after = co_await host_.Stat(path);
  // Replaced while it was being opened: nobody knows which of the two files this is.
  if (!before || !after || !SameFile(*before, *after)) co_return layer;
  OpenLayer& entry = layers_[LayerKey(after->id, &format)];
  if (SameFile(entry.stat, *after)) {
    // Two chains may have opened it at the same time. They share one.
    if (std::shared_ptr<Layer> other = entry.layer.lock()) co_return other;
  }
  entry = OpenLayer{*after, layer};
  Sweep();
  co_return layer;
}

std::shared_ptr<ParentStack> ParentCache::Stack(std::vector<std::shared_ptr<Layer>> layers) {
  std::vector<const Layer*> key;
  for (const std::shared_ptr<Layer>& layer : layers) key.push_back(layer.get());
  std::weak_ptr<ParentStack>& entry = stacks_[key];
  // Live layers have different addresses, so a live stack under this key is of these layers.
  std::shared_ptr<ParentStack> stack = entry.lock();
  if (stack == nullptr) {
    ParentStackOptions options;
    if (const std::optional<IndexFileHeader> header = IndexHeaderOf(layers)) {
      options.store = std::make_unique<IndexFile>(host_, IndexPath(layers.front()->info().path),
                                                  *header, note_);
    }
    stack = std::make_shared<ParentStack>(host_.loop(), std::move(layers), std::move(options));
    entry = stack;
  }
  return stack;
}

void ParentCache::Sweep() {
  std::erase_if(layers_, [](const auto& item) { return item.second.layer.expired(); });
  std::erase_if(stacks_, [](const auto& item) { return item.second.expired(); });
}

}  // namespace mica
