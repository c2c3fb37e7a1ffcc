// SPDX-License-Identifier: Apache-2.0
// The native `mica` format: FORMAT.md, and that of packed (sealed and compressed) images:
// packed/FORMAT.md. One format to its users: a packed image has the identity of the one it was made
// from.
#pragma once

#include "formats/format.h"

namespace mica {

class MicaFormat final : public ImageFormat {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "mica"; }
  // Looks at both superblocks or headers, so that damage to one does not turn the image into raw
  // bytes.
  [[nodiscard]] bool Probe(ConstBytes head) const noexcept override;
  // A sealed image is kReadOnly to a writable open. A log that was not closed is replayed; a
  // read-only open does so in memory and writes nothing.
  Async<std::unique_ptr<Layer>> Open(Host& host, const std::filesystem::path& path,
                                     const LayerOpenOptions& options) const override;
  // Options: log_size, log_size_max (bytes of the metadata log), quota, quota_soft (bytes of the
  // host, or none), uuid.
  Async<void> Create(Host& host, const std::filesystem::path& path,
                     const CreateOptions& options) const override;
  // Of a sealed image: its identity, and nothing is changed.
  [[nodiscard]] std::unique_ptr<SizeEstimate> EstimateSize(uint64_t virtual_size) const override;
  Async<LayerIdentity> Seal(Host& host, const std::filesystem::path& path) const override;
  // An image with snapshots is not, nor one that is packed already.
  Async<void> CheckPackable(Host& host, const std::filesystem::path& path,
                            const PackOptions& options) const override;
  Async<PackTotals> Pack(Host& host, const std::filesystem::path& source,
                         const std::filesystem::path& target,
                         const PackOptions& options) const override;
  Async<CheckReport> Check(Host& host, const std::filesystem::path& path,
                           CheckOptions options) const override;
};

}  // namespace mica
