// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "engine/layer.h"
#include "formats/raw/sidecar.h"

namespace mica {

// A raw file as a layer: one data extent at the identity offset. Holes of the host file are not
// reported: SEEK_HOLE has lied on dirty files, and a wrong "zero" loses data. A sealed file
// (`sidecar` given) is read-only, carries digests, and reports blocks whose digest is that of a
// zero block as kZero.
class RawLayer final : public Layer {
 public:
  RawLayer(std::unique_ptr<BlockFile> file, LayerInfo info, std::unique_ptr<Sidecar> sidecar)
      : file_(std::move(file)), info_(std::move(info)), sidecar_(std::move(sidecar)) {}

  [[nodiscard]] const LayerInfo& info() const noexcept override { return info_; }
  BlockFile& data_file() noexcept override { return *file_; }
  Async<Mapping> Map(ByteRange range) override;
  Async<WritePlan> PrepareWrite(ByteRange range) override;
  Async<void> PublishWrite(WritePlan plan) override;
  void CancelWrite(WritePlan plan) noexcept override;
  Async<void> Unmap(ByteRange range, ExtentKind becomes) override;
  Async<void> Flush() override;
  Async<void> Close() override;

 private:
  Async<Mapping> MapSealed(ByteRange range);
  Async<void> WriteZeroBytes(ByteRange range);

  std::unique_ptr<BlockFile> file_;
  const LayerInfo info_;
  std::unique_ptr<Sidecar> sidecar_;
};

}  // namespace mica
