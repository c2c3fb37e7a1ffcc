// SPDX-License-Identifier: Apache-2.0
// One block of directory entries: filling a new one, and changing a stored one in place.
// Layout: Documentation/filesystems/ext4/directory.rst in Linux, "Linear (Classic) Directories".
#pragma once

#include <ext2fs/ext2fs.h>

#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"

namespace mica::guest {

// The stored form of a record length: 64 KiB does not fit 16 bits.
uint16_t StoredRecordBytes(size_t record_bytes, size_t block_bytes) noexcept;
size_t RecordBytesOf(uint16_t stored, size_t block_bytes) noexcept;

// Fills a block from its start. With metadata_csum the end is kept free for the checksum, which
// ext2fs_write_dir_block4 fills in.
class DirectoryBlock {
 public:
  explicit DirectoryBlock(ext2_filsys fs);

  // False when there is no room. Names are at most 255 bytes.
  bool Append(std::string_view name, uint32_t inode, uint8_t file_type);
  [[nodiscard]] size_t used_bytes() const noexcept { return used_; }
  // The finished block: the last record reaches to the end.
  std::vector<std::byte> Take();

 private:
  size_t block_bytes_;
  size_t usable_bytes_;  // without the checksum
  bool stores_file_type_;
  std::vector<std::byte> block_;
  size_t used_ = 0;
  size_t last_ = 0;  // offset of the last record
};

// Where an entry stands in a block: its offset, and that of the record before it.
struct EntryPlace {
  size_t offset = 0;
  std::optional<size_t> previous;
  uint32_t inode = 0;
};

// Whether the records fill the block exactly and hold their names.
bool IsWellFormedBlock(ConstBytes block) noexcept;

// Empty when the name is not in the block. The block is well formed.
std::optional<EntryPlace> FindInBlock(ConstBytes block, std::string_view name);
// Takes the entry out: the record before it grows, or it becomes an unused record.
void RemoveFromBlock(Bytes block, const EntryPlace& place);

}  // namespace mica::guest
