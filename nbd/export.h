// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "engine/block_device.h"
#include "nbd/wire.h"

namespace mica::nbd {

enum class Access : uint8_t { kReadWrite, kReadOnly };

// One disk under one name. Names and descriptions are UTF-8 of at most kStringBytesMax bytes
// without NUL. The device lives on the server's loop and outlives its time in the server.
struct Export {
  Export(std::string export_name, BlockDevice& block_device)
      : name(std::move(export_name)), device(&block_device) {}

  std::string name;
  std::string description;
  BlockDevice* device;
  Access access = Access::kReadWrite;  // kReadOnly also refuses writes a writable device would take
  uint32_t connections_max = 64;

  [[nodiscard]] bool read_only() const noexcept {
    return access == Access::kReadOnly || device->info().read_only;
  }
};

}  // namespace mica::nbd
