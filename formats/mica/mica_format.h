// SPDX-License-Identifier: Apache-2.0
// The native `mica` format: FORMAT.md.
#pragma once

#include "formats/format.h"

namespace mica {

class MicaFormat final : public ImageFormat {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "mica"; }
  // Looks at both superblocks, so that damage to one does not turn the image into raw bytes.
  [[nodiscard]] bool Probe(ConstBytes head) const noexcept override;
  // A sealed image is kReadOnly to a writable open. A log that was not closed is replayed; a
  // read-only open does so in memory and writes nothing.
  Async<std::unique_ptr<Layer>> Open(Host& host, const std::filesystem::path& path,
                                     const LayerOpenOptions& options) const override;
  // Options: log_size, log_size_max (bytes of the metadata log), uuid.
  Async<void> Create(Host& host, const std::filesystem::path& path,
                     const CreateOptions& options) const override;
  // Of a sealed image: its identity, and nothing is changed.
  Async<LayerIdentity> Seal(Host& host, const std::filesystem::path& path) const override;
  Async<CheckReport> Check(Host& host, const std::filesystem::path& path,
                           CheckScope scope) const override;
};

}  // namespace mica
