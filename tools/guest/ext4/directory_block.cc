// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/directory_block.h"

namespace mica::guest {

namespace {
constexpr size_t kHeaderBytes = 8;
constexpr size_t kTailBytes = 12;
constexpr std::byte kTailFileType{0xDE};
constexpr size_t kLongBlockBytes = 65536;

size_t RecordFor(size_t name_bytes) {
  return (kHeaderBytes + name_bytes + 3) / 4 * 4;
}
}  // namespace

uint16_t StoredRecordBytes(size_t record_bytes, size_t block_bytes) noexcept {
  if (block_bytes < kLongBlockBytes) return static_cast<uint16_t>(record_bytes);
  if (record_bytes == kLongBlockBytes) return 65535;
  return static_cast<uint16_t>((record_bytes & 65532u) | ((record_bytes >> 16) & 3u));
}

size_t RecordBytesOf(uint16_t stored, size_t block_bytes) noexcept {
  if (block_bytes < kLongBlockBytes) return stored;
  if (stored == 65535 || stored == 0) return block_bytes;
  return (stored & 65532u) | ((stored & 3u) << 16);
}

DirectoryBlock::DirectoryBlock(ext2_filsys fs)
    : block_bytes_(fs->blocksize),
      usable_bytes_(fs->blocksize - (ext2fs_has_feature_metadata_csum(fs->super) ? kTailBytes : 0)),
      stores_file_type_(ext2fs_has_feature_filetype(fs->super) != 0),
      block_(fs->blocksize) {}

bool DirectoryBlock::Append(std::string_view name, uint32_t inode, uint8_t file_type) {
  const size_t record = RecordFor(name.size());
  if (used_ + record > usable_bytes_) return false;
  const Bytes to = Bytes(block_).subspan(used_);
  StoreLe(to, 0, inode);
  StoreLe(to, 4, StoredRecordBytes(record, block_bytes_));
  to[6] = static_cast<std::byte>(name.size());
  to[7] = stores_file_type_ ? std::byte{file_type} : std::byte{0};
  std::memcpy(to.data() + kHeaderBytes, name.data(), name.size());
  last_ = used_;
  used_ += record;
  return true;
}

std::vector<std::byte> DirectoryBlock::Take() {
  const Bytes whole(block_);
  StoreLe(whole, last_ + 4, StoredRecordBytes(usable_bytes_ - last_, block_bytes_));
  if (usable_bytes_ < block_bytes_) {
    StoreLe(whole, usable_bytes_ + 4, static_cast<uint16_t>(kTailBytes));
    whole[usable_bytes_ + 7] = kTailFileType;
  }
  return std::move(block_);
}

bool IsWellFormedBlock(ConstBytes block) noexcept {
  for (size_t at = 0; at < block.size();) {
    if (block.size() - at < kHeaderBytes) return false;
    const size_t record = RecordBytesOf(LoadLe<uint16_t>(block, at + 4), block.size());
    if (record < kHeaderBytes || record % 4 != 0 || record > block.size() - at) return false;
    const bool used = LoadLe<uint32_t>(block, at) != 0;
    if (used && kHeaderBytes + std::to_integer<size_t>(block[at + 6]) > record) return false;
    at += record;
  }
  return true;
}

std::optional<EntryPlace> FindInBlock(ConstBytes block, std::string_view name) {
  std::optional<size_t> previous;
  for (size_t at = 0; at < block.size();) {
    const size_t record = RecordBytesOf(LoadLe<uint16_t>(block, at + 4), block.size());
    const auto inode = LoadLe<uint32_t>(block, at);
    const auto name_bytes = std::to_integer<size_t>(block[at + 6]);
    if (inode != 0 && AsText(block.subspan(at + kHeaderBytes, name_bytes)) == name) {
      return EntryPlace{at, previous, inode};
    }
    previous = at;
    at += record;
  }
  return std::nullopt;
}

void RemoveFromBlock(Bytes block, const EntryPlace& place) {
  if (!place.previous) {
    StoreLe(block, place.offset, uint32_t{0});
    return;
  }
  const size_t record = RecordBytesOf(LoadLe<uint16_t>(block, place.offset + 4), block.size());
  const size_t grown = place.offset + record - *place.previous;
  StoreLe(block, *place.previous + 4, StoredRecordBytes(grown, block.size()));
}

}  // namespace mica::guest
