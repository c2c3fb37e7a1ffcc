// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/superblock.h"

#include <ext2fs/ext2fs.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "engine/base/checked_math.h"
#include "tools/guest/ext4/journal_format.h"

namespace mica::guest {

namespace {

constexpr uint32_t kLogBlockBytesMax = 6;  // 64 KiB
constexpr size_t kChecksumOffset = 1020;

Error Corrupt(std::string_view what) {
  return Error{Errc::kCorrupt, fmt::format("ext4 superblock: {}", what)};
}

Result<void> CheckGroups(ConstBytes raw, const Superblock& superblock) {
  const auto blocks_per_group = LoadLe<uint32_t>(raw, 0x20);
  const auto inodes_per_group = LoadLe<uint32_t>(raw, 0x28);
  const auto inode_bytes = LoadLe<uint16_t>(raw, 0x58);
  const bool dynamic = LoadLe<uint32_t>(raw, 0x4c) != 0;
  if (blocks_per_group == 0 || inodes_per_group == 0) return Corrupt("a group is empty");
  if (dynamic && (inode_bytes < 128 || inode_bytes > superblock.block_bytes ||
                  (inode_bytes & (inode_bytes - 1)) != 0)) {
    return Corrupt(fmt::format("inodes of {} bytes", inode_bytes));
  }
  // Bounds the group descriptors by the device: e2fsprogs never makes smaller groups than 256
  // blocks.
  if (blocks_per_group < 256) return Corrupt(fmt::format("groups of {} blocks", blocks_per_group));
  const uint64_t groups = DivideRoundUp(superblock.blocks, blocks_per_group);
  if (uint64_t{superblock.inodes} > groups * inodes_per_group) return Corrupt("too many inodes");
  return {};
}

}  // namespace

Result<Superblock> Superblock::Read(SyncDevice& device) {
  if (device.size() < kOffset + kBytes) return Corrupt("the volume is too small to hold one");
  std::vector<std::byte> buffer(kBytes);
  TRY(device.Read(kOffset, buffer));
  const ConstBytes raw(buffer);
  if (LoadLe<uint16_t>(raw, 0x38) != EXT2_SUPER_MAGIC) {
    return Corrupt("not found: this is no ext2, ext3 or ext4 file system");
  }
  Superblock superblock;
  const auto log_block_bytes = LoadLe<uint32_t>(raw, 0x18);
  if (log_block_bytes > kLogBlockBytesMax) return Corrupt("impossible block size");
  superblock.block_bytes = 1024u << log_block_bytes;
  superblock.inodes = LoadLe<uint32_t>(raw, 0x00);
  const auto compatible = LoadLe<uint32_t>(raw, 0x5c);
  const auto incompatible = LoadLe<uint32_t>(raw, 0x60);
  superblock.blocks = LoadLe<uint32_t>(raw, 0x04);
  if ((incompatible & EXT4_FEATURE_INCOMPAT_64BIT) != 0) {
    superblock.blocks |= uint64_t{LoadLe<uint32_t>(raw, 0x150)} << 32;
  }
  const auto bytes = CheckedMultiply<uint64_t>(superblock.blocks, superblock.block_bytes);
  if (!bytes || superblock.blocks == 0) return Corrupt("impossible number of blocks");
  if (*bytes > device.size()) {
    return Corrupt(
        fmt::format("the file system has {} bytes, the volume only {}", *bytes, device.size()));
  }
  TRY(CheckGroups(raw, superblock));
  if ((compatible & EXT3_FEATURE_COMPAT_HAS_JOURNAL) != 0) {
    superblock.journal_inode = LoadLe<uint32_t>(raw, 0xe0);
    superblock.needs_recovery = (incompatible & EXT3_FEATURE_INCOMPAT_RECOVER) != 0;
  }
  superblock.has_errors = (LoadLe<uint16_t>(raw, 0x3a) & EXT2_ERROR_FS) != 0;
  std::copy_n(buffer.begin() + 0x68, 16, superblock.uuid.begin());
  const std::string_view label = AsText(raw.subspan(0x78, 16));
  superblock.label = label.substr(0, label.find('\0'));
  return superblock;
}

Result<void> Superblock::ClearNeedsRecovery(SyncDevice& device) {
  std::vector<std::byte> buffer(kBytes);
  TRY(device.Read(kOffset, buffer));
  const Bytes raw(buffer);
  const auto incompatible = LoadLe<uint32_t>(raw, 0x60);
  StoreLe(raw, 0x60, incompatible & ~uint32_t{EXT3_FEATURE_INCOMPAT_RECOVER});
  if ((LoadLe<uint32_t>(raw, 0x64) & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM) != 0) {
    StoreLe(raw, kChecksumOffset, Crc32c(~0u, raw.first(kChecksumOffset)));
  }
  return device.Write(kOffset, raw);
}

}  // namespace mica::guest
