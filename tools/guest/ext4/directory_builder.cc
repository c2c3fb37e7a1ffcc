// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/directory_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "tools/guest/ext4/directory_block.h"
#include "tools/guest/ext4/file_writer.h"
#include "tools/guest/ext4/hashed_directory.h"
#include "tools/guest/ext4/xattr_writer.h"

namespace mica::guest {

namespace {

constexpr size_t kIndexEntryBytes = 8;
constexpr uint8_t kInfoBytes = 8;

using Blocks = std::vector<std::vector<std::byte>>;

struct HashedEntry {
  uint32_t hash = 0;
  uint32_t minor = 0;
  const BuiltEntry* entry = nullptr;
};

struct IndexEntry {
  uint32_t hash = 0;
  uint32_t block = 0;
};

// The blocks of the directory in logical order, as they are made.
class Builder {
 public:
  Builder(WriteContext& context, uint32_t directory, uint32_t parent)
      : fs_(context.fs()), io_(context.io()), directory_(directory), parent_(parent) {
    has_checksums_ = ext2fs_has_feature_metadata_csum(fs_->super) != 0;
  }

  // Everything in linear blocks; the first one holds "." and "..".
  void BuildLinear(const std::vector<BuiltEntry>& entries) {
    DirectoryBlock block(fs_);
    AddDots(block);
    for (const BuiltEntry& entry : entries) {
      if (!block.Append(entry.name, entry.inode, entry.file_type)) {
        blocks_.push_back(block.Take());
        block = DirectoryBlock(fs_);
        block.Append(entry.name, entry.inode, entry.file_type);
      }
    }
    blocks_.push_back(block.Take());
  }

  Result<void> BuildHashed(const std::vector<BuiltEntry>& entries) {
    ASSIGN(const std::vector<HashedEntry> hashed, Hash(entries));
    blocks_.emplace_back();  // the root, filled last
    std::vector<IndexEntry> level = BuildLeaves(hashed);
    int levels = 0;
    while (level.size() > Limit(kHashRootEntriesOffset)) {
      if (++levels >= static_cast<int>(ext2_dir_htree_level(fs_))) {
        return Error{Errc::kLimit,
                     fmt::format("directory inode {} has too many entries", directory_)};
      }
      level = BuildNodes(level);
    }
    blocks_[0] = BuildRoot(level, static_cast<uint8_t>(levels));
    return {};
  }

  Blocks Take() { return std::move(blocks_); }

 private:
  void AddDots(DirectoryBlock& block) const {
    block.Append(".", directory_, EXT2_FT_DIR);
    block.Append("..", parent_, EXT2_FT_DIR);
  }

  [[nodiscard]] size_t Limit(size_t entries_offset) const {
    return (fs_->blocksize - entries_offset - (has_checksums_ ? kHashTailBytes : 0)) /
           kIndexEntryBytes;
  }

  Result<std::vector<HashedEntry>> Hash(const std::vector<BuiltEntry>& entries) {
    std::vector<HashedEntry> hashed;
    hashed.reserve(entries.size());
    const int version = HashVersion(fs_, fs_->super->s_def_hash_version);
    for (const BuiltEntry& entry : entries) {
      HashedEntry& added = hashed.emplace_back();
      added.entry = &entry;
      const errcode_t code =
          ext2fs_dirhash(version, entry.name.data(), static_cast<int>(entry.name.size()),
                         fs_->super->s_hash_seed, &added.hash, &added.minor);
      if (code != 0) return Ext2Error(io_, code, "hashing a directory");
    }
    std::ranges::sort(hashed, [](const HashedEntry& a, const HashedEntry& b) {
      return std::tie(a.hash, a.minor, a.entry->name) < std::tie(b.hash, b.minor, b.entry->name);
    });
    return hashed;
  }

  std::vector<IndexEntry> BuildLeaves(const std::vector<HashedEntry>& hashed) {
    const size_t full_bytes = size_t{fs_->blocksize} / 4 * 3;
    std::vector<IndexEntry> leaves;
    DirectoryBlock block(fs_);
    uint32_t last_hash = 0;
    leaves.push_back({0, static_cast<uint32_t>(blocks_.size())});
    for (const HashedEntry& at : hashed) {
      const BuiltEntry& entry = *at.entry;
      if (block.used_bytes() >= full_bytes ||
          !block.Append(entry.name, entry.inode, entry.file_type)) {
        blocks_.push_back(block.Take());
        // The lowest bit says that the hash continues from the block before.
        const uint32_t hash = at.hash == last_hash ? at.hash | 1 : at.hash;
        leaves.push_back({hash, static_cast<uint32_t>(blocks_.size())});
        block = DirectoryBlock(fs_);
        block.Append(entry.name, entry.inode, entry.file_type);
      }
      last_hash = at.hash;
    }
    blocks_.push_back(block.Take());
    return leaves;
  }

  void StoreIndex(Bytes block, size_t entries_offset, std::span<const IndexEntry> entries) const {
    const Bytes to = block.subspan(entries_offset);
    for (size_t i = 0; i < entries.size(); ++i) {
      StoreLe(to, i * kIndexEntryBytes, entries[i].hash);
      StoreLe(to, i * kIndexEntryBytes + 4, entries[i].block);
    }
    // Limit and count stand where the first entry would have its hash.
    StoreLe(to, 0, static_cast<uint16_t>(Limit(entries_offset)));
    StoreLe(to, 2, static_cast<uint16_t>(entries.size()));
  }

  std::vector<IndexEntry> BuildNodes(const std::vector<IndexEntry>& level) {
    const size_t full = Limit(kHashNodeEntriesOffset) / 4 * 3;
    std::vector<IndexEntry> above;
    std::span<const IndexEntry> rest(level);
    while (!rest.empty()) {
      const auto part = rest.first(std::min(rest.size(), full));
      rest = rest.subspan(part.size());
      std::vector<std::byte> block(fs_->blocksize);
      StoreLe(Bytes(block), 4, StoredRecordBytes(fs_->blocksize, fs_->blocksize));
      StoreIndex(block, kHashNodeEntriesOffset, part);
      above.push_back({part.front().hash, static_cast<uint32_t>(blocks_.size())});
      blocks_.push_back(std::move(block));
    }
    return above;
  }

  [[nodiscard]] std::vector<std::byte> BuildRoot(const std::vector<IndexEntry>& level,
                                                 uint8_t levels) const {
    DirectoryBlock dots(fs_);
    AddDots(dots);
    std::vector<std::byte> block = dots.Take();
    const Bytes to(block);
    // ".." covers the index for readers that do not know it.
    StoreLe(to, 12 + 4, StoredRecordBytes(fs_->blocksize - 12, fs_->blocksize));
    FillZero(to.subspan(kHashRootInfoOffset));
    to[kHashRootInfoOffset + 4] = std::byte{fs_->super->s_def_hash_version};
    to[kHashRootInfoOffset + 5] = std::byte{kInfoBytes};
    to[kHashRootInfoOffset + 6] = std::byte{levels};
    StoreIndex(block, kHashRootEntriesOffset, level);
    return block;
  }

  ext2_filsys fs_;
  IoManager& io_;
  uint32_t directory_;
  uint32_t parent_;
  bool has_checksums_ = false;
  Blocks blocks_;
};

// Takes room for the blocks and writes them. The directory has no blocks at this point.
Result<void> StoreBlocks(WriteContext& context, RawInode& directory, const Blocks& blocks) {
  ext2_filsys fs = context.fs();
  std::vector<FileExtent> extents;
  for (size_t at = 0; at < blocks.size();) {
    ASSIGN(const BlockRun run, context.allocator.Take(blocks.size() - at));
    TRY(AddToBlockCount(fs, directory, run.length / context.allocator.cluster_blocks()));
    const uint64_t used = std::min<uint64_t>(run.length, blocks.size() - at);
    AppendExtent(extents, {at, run.start, used, false});
    for (uint64_t i = 0; i < used; ++i, ++at) {
      std::vector<std::byte> block = blocks[at];  // the checksum is put into a copy
      const errcode_t code =
          ext2fs_write_dir_block4(fs, run.start + i, block.data(), 0, directory.number);
      if (code != 0)
        return Ext2Error(context.io(), code, fmt::format("directory inode {}", directory.number));
    }
  }
  return StoreMap(context, directory, {}, extents);
}

}  // namespace

Result<void> BuildDirectory(WriteContext& context, RawInode& directory, uint32_t parent,
                            const std::vector<BuiltEntry>& entries) {
  ext2_filsys fs = context.fs();
  if (directory.Has(EXT4_INLINE_DATA_FL)) {
    TRY(RemoveInlineTail(context, directory));
  } else {
    TRY(FreeContent(context, directory));
  }
  InitMap(fs, directory);
  // The library's checksums read the inode from the disk (its generation, its flags).
  TRY(WriteInode(fs, context.io(), directory));
  uint32_t& flags = directory.large().i_flags;
  flags &= ~static_cast<uint32_t>(EXT2_INDEX_FL);
  Builder linear(context, directory.number, parent);
  linear.BuildLinear(entries);
  Blocks blocks = linear.Take();
  if (blocks.size() > 1 && ext2fs_has_feature_dir_index(fs->super)) {
    Builder hashed(context, directory.number, parent);
    TRY(hashed.BuildHashed(entries));
    blocks = hashed.Take();
    flags |= EXT2_INDEX_FL;
  }
  TRY(StoreBlocks(context, directory, blocks));
  const uint64_t size = blocks.size() * fs->blocksize;
  const errcode_t code =
      ext2fs_inode_size_set(fs, directory.basic(), static_cast<ext2_off64_t>(size));
  if (code != 0)
    return Ext2Error(context.io(), code, fmt::format("directory inode {}", directory.number));
  context.volume.ForgetMaps();
  return WriteInode(fs, context.io(), directory);
}

}  // namespace mica::guest
