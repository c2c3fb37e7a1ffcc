// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/index_dirents.h"

#include <fmt/core.h>

#include <algorithm>

#include "tools/guest/ext4/file_map.h"
#include "tools/guest/ext4/xattr_reader.h"

namespace mica::guest {
namespace {

constexpr size_t kHeaderBytes = 8;
constexpr size_t kInlineParentBytes = 4;  // inline directories start with the inode of ".."
constexpr uint64_t kReadBytes = uint64_t{1} << 20;  // read at once

Error Bad(std::string_view what) {
  return {Errc::kCorrupt, fmt::format("ext4 directory: {}", what)};
}

// 16 bits cannot say 65536: 0 and 65535 stand for it (kernel: ext4_rec_len_from_disk).
size_t RecordBytes(uint16_t stored, size_t block_bytes) {
  if (block_bytes < 65536) return stored;
  if (stored == 0 || stored == 65535) return 65536;
  return (stored & 65532U) | ((stored & 3U) << 16);
}

bool IsName(std::string_view leaf) {
  return !leaf.empty() && leaf.find('/') == std::string_view::npos &&
         leaf.find('\0') == std::string_view::npos;
}

}  // namespace

Result<void> ParseDirents(ConstBytes block, uint32_t inode_count, std::vector<Dirent>& to) {
  size_t at = 0;
  while (at < block.size()) {
    if (block.size() - at < kHeaderBytes) return Bad("an entry cut off");
    const uint32_t inode = LoadLe<uint32_t>(block, at);
    const size_t record = RecordBytes(LoadLe<uint16_t>(block, at + 4), block.size());
    const size_t name_bytes = static_cast<uint8_t>(block[at + 6]);
    if (record < kHeaderBytes || record % 4 != 0 || record > block.size() - at) {
      return Bad("an entry of a wrong length");
    }
    if (inode != 0) {
      if (name_bytes > record - kHeaderBytes) return Bad("a name longer than its entry");
      const std::string_view leaf = AsText(block.subspan(at + kHeaderBytes, name_bytes));
      if (leaf != "." && leaf != "..") {
        if (!IsName(leaf)) return Bad("a name that is empty or holds '/' or NUL");
        if (inode > inode_count) return Bad(fmt::format("an entry of inode {}", inode));
        to.push_back({std::string(leaf), inode});
      }
    }
    at += record;
  }
  return {};
}

Result<std::vector<Dirent>> ReadInlineDirectory(const Ext4Blocks& blocks, const RawInode& inode) {
  std::vector<Dirent> entries;
  TRY(ParseDirents(inode.block_area().subspan(kInlineParentBytes), blocks.inode_count(), entries));
  ASSIGN(const std::string tail, ReadInlineTail(blocks.fs(), blocks.io(), inode));
  TRY(ParseDirents(AsBytes(tail), blocks.inode_count(), entries));
  return entries;
}

Result<void> CheckDirectory(const RawInode& inode) {
  if (!inode.Has(EXT4_ENCRYPT_FL)) return {};
  return Error{Errc::kUnsupported, "encrypted directories (fscrypt) are not supported"};
}

Result<std::vector<Dirent>> ReadDirectory(const Ext4Blocks& blocks, const RawInode& inode) {
  TRY(CheckDirectory(inode));
  if (inode.Has(EXT4_INLINE_DATA_FL)) return ReadInlineDirectory(blocks, inode);
  ASSIGN(const FileMap map, MapInode(blocks.fs(), blocks.io(), inode));
  std::vector<Dirent> entries;
  for (const FileExtent& extent : map.extents) {
    if (extent.unwritten) continue;
    TRY(ReadDirectoryRun(blocks, {extent.physical, extent.length}, entries));
  }
  return entries;
}

Result<void> ReadDirectoryRun(const Ext4Blocks& blocks, BlockRun run, std::vector<Dirent>& to) {
  const uint64_t block_bytes = blocks.block_bytes();
  const uint64_t at_once = std::max<uint64_t>(1, kReadBytes / block_bytes);
  std::vector<std::byte> buffer;
  for (uint64_t done = 0; done < run.count; done += at_once) {
    const uint64_t count = std::min(at_once, run.count - done);
    buffer.resize(count * block_bytes);
    TRY(blocks.Read(run.first + done, buffer));
    for (uint64_t i = 0; i < count; ++i) {
      TRY(ParseDirents(ConstBytes(buffer).subspan(i * block_bytes, block_bytes),
                       blocks.inode_count(), to));
    }
  }
  return {};
}

}  // namespace mica::guest
