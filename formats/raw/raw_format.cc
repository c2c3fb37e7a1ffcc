// SPDX-License-Identifier: Apache-2.0
#include "formats/raw/raw_format.h"

#include <fmt/format.h>

#include "formats/raw/raw_layer.h"
#include "formats/raw/raw_size_estimate.h"
#include "formats/raw/sidecar.h"

namespace mica {

namespace {

// The sidecar when there is one, null otherwise.
Async<std::unique_ptr<Sidecar>> FindSidecar(Host& host, const std::filesystem::path& path) {
  Result<std::unique_ptr<Sidecar>> sidecar = co_await Sidecar::Open(host, path);
  if (!sidecar && sidecar.error().code == Errc::kNotFound) {
    co_return std::unique_ptr<Sidecar>();
  }
  co_return sidecar;
}

Error ChangedSinceSeal(const std::filesystem::path& path, const SidecarHeader& sealed,
                       const FileStat& found) {
  return {Errc::kMismatch,
          fmt::format("{}: changed since it was sealed: expected {} bytes modified at {} ns, found "
                      "{} bytes modified at {} ns; if the content is known to be the same (a copy "
                      "that lost its time stamp), `mica seal {}` seals it again and keeps its "
                      "identity when every block is unchanged",
                      path.string(), sealed.identity.virtual_size, sealed.modified_ns, found.size,
                      found.modified_ns, path.string())};
}

}  // namespace

Async<std::unique_ptr<Layer>> RawFormat::Open(Host& host, const std::filesystem::path& path,
                                              const LayerOpenOptions& options) const {
  if (options.snapshot) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: is a raw image, which keeps no snapshots", path.string())};
  }
  OpenOptions open_options;
  open_options.writable = options.writable;
  open_options.lock = options.lock;
  // Never direct: guest writes of any alignment go straight to the file, and an unaligned direct
  // write is a read-modify-write that two neighbouring writes would race on.
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(path, open_options));
  CO_ASSIGN(std::unique_ptr<Sidecar> sidecar, co_await FindSidecar(host, path));
  if (sidecar != nullptr && options.writable) {
    co_return Error{Errc::kReadOnly,
                    fmt::format("{}: is a sealed master ({} exists); write to a delta made with "
                                "`mica clone {} DELTA`, or remove the sidecar to unseal it",
                                path.string(), SidecarPath(path).string(), path.string())};
  }
  CO_ASSIGN(const uint64_t size, co_await file->Size());
  if (sidecar != nullptr) {
    CO_ASSIGN(const FileStat stat, co_await host.Stat(path));
    const SidecarHeader& header = sidecar->header();
    if (header.identity.virtual_size != stat.size || header.modified_ns != stat.modified_ns) {
      co_return ChangedSinceSeal(path, header, stat);
    }
  }
  LayerInfo info;
  info.format = "raw";
  info.path = path.string();
  info.virtual_size = size;
  info.cluster_bytes = 1;  // bytes go where the guest put them: nothing to read, modify and write
  info.writable = options.writable;
  if (sidecar != nullptr) {
    info.sealed = true;
    info.digest_block_bytes = kSidecarBlockBytes;
    info.identity = sidecar->header().identity;
  }
  std::unique_ptr<Layer> layer =
      std::make_unique<RawLayer>(std::move(file), std::move(info), std::move(sidecar));
  co_return layer;
}

std::unique_ptr<SizeEstimate> RawFormat::EstimateSize(uint64_t virtual_size) const {
  return std::make_unique<RawSizeEstimate>(virtual_size);
}

Async<void> RawFormat::Create(Host& host, const std::filesystem::path& path,
                              const CreateOptions& options) const {
  if (options.parent) {
    co_return Error{
        Errc::kUnsupported,
        fmt::format("{}: a raw image cannot have a parent; use -f mica", path.string())};
  }
  if (!options.extra.empty()) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("raw images have no option '{}'", options.extra.begin()->first)};
  }
  OpenOptions open_options;
  open_options.writable = true;
  open_options.lock = FileLock::kExclusive;
  CO_ASSIGN(const std::unique_ptr<BlockFile> file,
            co_await host.CreateExclusive(path, open_options));
  CO_TRY(co_await file->Resize(options.virtual_size));
  co_return co_await file->Sync();
}

}  // namespace mica
