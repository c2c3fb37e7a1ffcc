// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/block_device.h"
#include "nbd/wire.h"

namespace mica::nbd {

class BitmapSource;

enum class Access : uint8_t { kReadWrite, kReadOnly };
enum class NameListing : uint8_t { kShown, kHidden };

// One disk under one name. Names and descriptions are UTF-8 of at most kStringBytesMax bytes
// without NUL. The device lives on one of the server's loops and outlives its time in the server.
struct Export {
  Export(std::string export_name, BlockDevice& block_device)
      : name(std::move(export_name)), device(&block_device) {}

  std::string name;
  std::string description;
  BlockDevice* device;
  Access access = Access::kReadWrite;  // kReadOnly also refuses writes a writable device would take
  NameListing listing = NameListing::kShown;  // whether LIST names it
  uint32_t connections_max = 64;
  size_t shard = 0;  // the device lives on the loop of this shard (Server::AddLoop)
  // Who may see and use it, as PeerIdentity::names has it ("psk:USER", "cn:NAME", "dn:DN");
  // everyone when empty.
  std::vector<std::string> clients;
  bool allocation_depth = true;     // whether qemu:allocation-depth can be asked for
  BitmapSource* bitmaps = nullptr;  // none when null; lives as long as the device

  [[nodiscard]] bool read_only() const noexcept {
    return access == Access::kReadOnly || device->info().read_only;
  }
};

}  // namespace mica::nbd
