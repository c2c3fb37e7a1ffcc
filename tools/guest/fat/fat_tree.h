// SPDX-License-Identifier: Apache-2.0
// The files of a FAT12, FAT16 or FAT32 file system, so that a report can name what differs between
// two versions of one (Microsoft's FAT specification 1.03). Read only; content is hostile: chains,
// depth and the bytes that are read are bounded.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

struct FatFile {
  bool directory = false;
  uint64_t size = 0;                 // bytes; 0 of directories
  std::array<uint8_t, 16> digest{};  // XXH3-128 of the content
  friend bool operator==(const FatFile&, const FatFile&) = default;
};

using FatTree = std::map<std::string, FatFile>;  // by path: "/EFI/debian/grub.cfg"

// kCorrupt for a damaged file system; kLimit for one that is too large to be looked into.
Result<FatTree> ReadFatTree(SyncDevice& device);

// "added /a", "changed /b", "removed /c".
std::vector<std::string> CompareFatTrees(const FatTree& before, const FatTree& after);

}  // namespace mica::guest
