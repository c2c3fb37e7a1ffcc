// SPDX-License-Identifier: Apache-2.0
// PackedLayer: an open packed image as a layer. Always sealed: every change is kReadOnly.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/io/host.h"
#include "engine/layer.h"
#include "formats/mica/packed/table_reader.h"

namespace mica::packed {

class PackedLayer final : public Layer {
 public:
  PackedLayer(const std::filesystem::path& path, std::unique_ptr<BlockFile> file,
              const Header& header);

  [[nodiscard]] const LayerInfo& info() const noexcept override { return info_; }
  BlockFile& data_file() noexcept override { return *file_; }
  Async<Mapping> Map(ByteRange range) override;
  Async<WritePlan> PrepareWrite(ByteRange range) override;
  Async<void> PublishWrite(WritePlan plan) override;
  void CancelWrite(WritePlan plan) noexcept override { static_cast<void>(plan); }
  Async<void> Unmap(ByteRange range, ExtentKind becomes) override;
  Async<void> Flush() override;
  Async<void> Close() override;

 private:
  Async<void> MapData(ByteRange guest, uint64_t rank, Mapping& mapping);
  void AddAbsent(ByteRange guest, Mapping& mapping) const;

  const std::unique_ptr<BlockFile> file_;
  const Header header_;
  const ContentName content_;
  LayerInfo info_;
  TableReader tables_;
};

// True when the first pages of a file begin or end like headers, valid or not.
bool LooksPacked(ConstBytes head) noexcept;
Async<bool> IsPacked(BlockFile& file);

// What a writable open of a packed image gets.
Error ReadOnly(const std::filesystem::path& path);

Async<std::unique_ptr<Layer>> OpenPacked(std::filesystem::path path,
                                         std::unique_ptr<BlockFile> file);

// The header of the file. Errors name no path.
Async<Header> ReadHeader(BlockFile& file);

}  // namespace mica::packed
