// SPDX-License-Identifier: Apache-2.0
// The `raw` format: guest offset = host offset, no metadata of its own. A sealed raw file has a
// sidecar FILE.seal with its identity and one digest per 4 KiB (sidecar.h).
#pragma once

#include "formats/format.h"

namespace mica {

class RawFormat final : public ImageFormat {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "raw"; }
  // Never: raw is what is left when no other format claims a file.
  [[nodiscard]] bool Probe(ConstBytes) const noexcept override { return false; }
  Async<std::unique_ptr<Layer>> Open(Host& host, const std::filesystem::path& path,
                                     const LayerOpenOptions& options) const override;
  Async<void> Create(Host& host, const std::filesystem::path& path,
                     const CreateOptions& options) const override;
  [[nodiscard]] std::unique_ptr<SizeEstimate> EstimateSize(uint64_t virtual_size) const override;
  Async<LayerIdentity> Seal(Host& host, const std::filesystem::path& path) const override;
  // A sealed file: the sidecar's own hashes, and with kMetadataAndData every block against its
  // digest. An unsealed one has nothing to check.
  // Never: a raw image has no room for tables, and its children name it as raw.
  Async<void> CheckPackable(Host& host, const std::filesystem::path& path,
                            const PackOptions& options) const override;
  Async<PackTotals> Pack(Host& host, const std::filesystem::path& source,
                         const std::filesystem::path& target,
                         const PackOptions& options) const override;
  Async<CheckReport> Check(Host& host, const std::filesystem::path& path,
                           CheckOptions options) const override;
};

}  // namespace mica
