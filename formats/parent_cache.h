// SPDX-License-Identifier: Apache-2.0
// ParentCache: the parents that chains of one process have open, so that heads on the same master
// share its descriptor, its cached maps, and the index of what is above it. A layer or a stack
// lives as long as some chain uses it. One per Host; loop thread only. Chains may outlive it.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/io/host.h"
#include "engine/parent_stack.h"
#include "formats/format.h"
#include "formats/index_file.h"

namespace mica {

struct ParentCacheOptions {
  static constexpr size_t kMapBytesMaxDefault = size_t{256} << 20;

  IndexNote note;                              // is told what happens to index files
  size_t map_bytes_max = kMapBytesMaxDefault;  // of the maps of all images together
};

class ParentCache {
 public:
  explicit ParentCache(Host& host, ParentCacheOptions options = {})
      : host_(host),
        note_(std::move(options.note)),
        map_limit_(std::make_shared<CacheLimit>(options.map_bytes_max)) {}
  ParentCache(const ParentCache&) = delete;
  ParentCache& operator=(const ParentCache&) = delete;

  // For the maps of all images that are opened with this cache.
  [[nodiscard]] const std::shared_ptr<CacheLimit>& map_limit() const noexcept { return map_limit_; }

  // The layer of the image at `path`, read-only under a shared lock: the one that is open already
  // when it is the same file, of the same size and time. A file that was put there meanwhile is
  // opened anew. Errors of ImageFormat::Open.
  Async<std::shared_ptr<Layer>> Open(const ImageFormat& format, std::filesystem::path path);

  // The stack of exactly these layers, from the top parent down; made when nobody has it. If all of
  // them are sealed its index is kept in a file beside the top parent (index_file.h).
  std::shared_ptr<ParentStack> Stack(std::vector<std::shared_ptr<Layer>> layers);

 private:
  struct OpenLayer {
    FileStat stat;
    std::weak_ptr<Layer> layer;
  };
  using LayerKey = std::pair<FileId, const ImageFormat*>;

  // Forgets what nobody uses any more.
  void Sweep();

  Host& host_;
  const IndexNote note_;
  const std::shared_ptr<CacheLimit> map_limit_;
  std::map<LayerKey, OpenLayer> layers_;
  std::map<std::vector<const Layer*>, std::weak_ptr<ParentStack>> stacks_;
};

}  // namespace mica
