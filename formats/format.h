// SPDX-License-Identifier: Apache-2.0
// ImageFormat: what every format folder provides. Stateless. Formats are listed in registry.cc;
// adding one changes neither engine/ nor nbd/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/cache_limit.h"
#include "engine/io/host.h"
#include "engine/layer.h"
#include "formats/check.h"
#include "formats/size_estimate.h"

namespace mica {

struct LayerOpenOptions {
  bool writable = false;
  // The state that the image keeps under this name, and not the one it is in; not writable.
  // kNotFound; kUnsupported when the format keeps none.
  std::optional<std::string> snapshot;
  // Head: kExclusive when writable, else kShared. Parents: kShared. kNone only to look at an image
  // that somebody else is using; what is read is then verified but may be a little old.
  FileLock lock = FileLock::kShared;
  // Direct I/O for deltas, buffered for masters, whose cache all chains share.
  bool direct = false;
  // Shared by the maps of many images; null: each has a limit of its own.
  std::shared_ptr<CacheLimit> cache_limit;
};

struct CreateOptions {
  uint64_t virtual_size = 0;
  std::optional<ParentReference> parent;
  std::map<std::string, std::string> extra;  // -o K=V; unknown keys are kInvalidArgument
};

struct PackTotals {
  uint64_t goal_bytes = 0;     // content to be packed
  uint64_t content_bytes = 0;  // of it packed so far
  uint64_t stored_bytes = 0;   // what that takes
};

struct PackOptions {
  int level = 9;                 // zstd, 1 to 19
  uint32_t chunk_bytes = 32768;  // 16, 32 or 64 KiB are compressed together, and read together
  uint32_t threads = 0;          // beside the loop's own; 0: that one does it all
  std::function<void(const PackTotals&)> on_progress;  // may be empty; called often, must be quick
};

class ImageFormat {
 public:
  ImageFormat() = default;
  ImageFormat(const ImageFormat&) = delete;
  ImageFormat& operator=(const ImageFormat&) = delete;
  virtual ~ImageFormat() = default;

  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  // Whether the first bytes of a file (up to kProbeBytes) are of this format. Pure; any input.
  static constexpr size_t kProbeBytes = 8192;
  [[nodiscard]] virtual bool Probe(ConstBytes head) const noexcept = 0;

  virtual Async<std::unique_ptr<Layer>> Open(Host& host, const std::filesystem::path& path,
                                             const LayerOpenOptions& options) const = 0;

  // Writes a new image at `path`, which must not exist, and syncs the file; the caller renames it
  // into place and syncs the directory.
  virtual Async<void> Create(Host& host, const std::filesystem::path& path,
                             const CreateOptions& options) const = 0;

  // How large an image of that size becomes that is filled once.
  [[nodiscard]] virtual std::unique_ptr<SizeEstimate> EstimateSize(uint64_t virtual_size) const = 0;

  // Makes the image immutable and gives it an identity; see docs. The file must be writable.
  virtual Async<LayerIdentity> Seal(Host& host, const std::filesystem::path& path) const = 0;

  // Whether Pack would do, once the image is sealed; otherwise kUnsupported with what helps, or
  // kInvalidArgument for wrong options.
  virtual Async<void> CheckPackable(Host& host, const std::filesystem::path& path,
                                    const PackOptions& options) const = 0;

  // Writes the sealed image at `source` anew at `target`, which must not exist: compressed, in
  // guest order, with the same identity and parent, so that it can take the source's name under its
  // children. Synced and verified when it returns; the caller renames it into place and syncs the
  // directory. Errors of CheckPackable.
  virtual Async<PackTotals> Pack(Host& host, const std::filesystem::path& source,
                                 const std::filesystem::path& target,
                                 const PackOptions& options) const = 0;

  // Looks at everything in the image itself, not in its parents, and repairs what options.repair
  // allows; a repair needs the file writable and unused.
  virtual Async<CheckReport> Check(Host& host, const std::filesystem::path& path,
                                   CheckOptions options) const = 0;
};

}  // namespace mica
