// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/hashed_directory.h"

#include <fmt/format.h>

#include <algorithm>

namespace mica::guest {

namespace {

constexpr size_t kEntryBytes = 8;
constexpr uint32_t kBlockMask = 0x0fffffff;
constexpr uint8_t kLevelsMax = 3;
// Collision chains are short; a longer one is a hostile index.
constexpr size_t kLeavesMax = 1024;

class IndexSearch {
 public:
  IndexSearch(ext2_filsys fs, IoManager& io, const RawInode& directory, std::string_view leaf)
      : fs_(fs), io_(io), directory_(directory), leaf_(leaf) {}

  Result<std::vector<uint64_t>> Run() {
    ASSIGN(map_, MapInode(fs_, io_, directory_));
    ASSIGN(const std::vector<std::byte> root, ReadBlock(0));
    const ConstBytes info = ConstBytes(root).subspan(kHashRootInfoOffset);
    const auto version = std::to_integer<uint8_t>(info[4]);
    const auto levels = std::to_integer<uint8_t>(info[6]);
    if (levels >= kLevelsMax) return Corrupt("too many levels");
    ext2_dirhash_t hash = 0;
    const errcode_t code =
        ext2fs_dirhash(HashVersion(fs_, version), leaf_.data(), static_cast<int>(leaf_.size()),
                       fs_->super->s_hash_seed, &hash, nullptr);
    if (code != 0)
      return Ext2Error(io_, code, fmt::format("index of directory {}", directory_.number));
    hash_ = hash;
    TRY(Descend(root, kHashRootEntriesOffset, levels));
    return std::move(leaves_);
  }

 private:
  [[nodiscard]] Error Corrupt(std::string_view what) const {
    return Error{Errc::kCorrupt,
                 fmt::format("index of directory inode {}: {}", directory_.number, what)};
  }

  [[nodiscard]] Result<uint64_t> PlaceOf(uint64_t logical) const {
    const auto extent = std::ranges::partition_point(
        map_.extents, [&](const FileExtent& e) { return e.end() <= logical; });
    if (extent == map_.extents.end() || extent->logical > logical)
      return Corrupt("it names a missing block");
    return extent->physical + (logical - extent->logical);
  }

  Result<std::vector<std::byte>> ReadBlock(uint64_t logical) {
    ASSIGN(const uint64_t place, PlaceOf(logical));
    std::vector<std::byte> block(fs_->blocksize);
    const errcode_t code = ext2fs_read_dir_block4(fs_, place, block.data(), 0, directory_.number);
    if (code != 0)
      return Ext2Error(io_, code, fmt::format("directory inode {}", directory_.number));
    return block;
  }

  // `levels` is what lies between this node and the leaves.
  Result<void> Descend(ConstBytes node, size_t entries_offset, int levels) {
    const ConstBytes entries = node.subspan(entries_offset);
    const size_t count = LoadLe<uint16_t>(entries, 2);
    if (count == 0 || count > entries.size() / kEntryBytes)
      return Corrupt("impossible number of entries");
    const auto hash_at = [&](size_t i) { return LoadLe<uint32_t>(entries, i * kEntryBytes); };
    size_t low = 1;  // the first entry has no hash: it covers everything below the second
    size_t high = count;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (hash_at(middle) > hash_) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    // The next ones too when they continue the same hash (its lowest bit says so).
    for (size_t i = low - 1; i < count && (i == low - 1 || (hash_at(i) & ~1u) == hash_); ++i) {
      TRY(Visit(LoadLe<uint32_t>(entries, i * kEntryBytes + 4) & kBlockMask, levels));
    }
    return {};
  }

  Result<void> Visit(uint32_t logical, int levels) {
    if (levels == 0) {
      if (leaves_.size() == kLeavesMax) return Corrupt("too many blocks for one hash");
      ASSIGN(const uint64_t place, PlaceOf(logical));
      leaves_.push_back(place);
      return {};
    }
    ASSIGN(const std::vector<std::byte> node, ReadBlock(logical));
    return Descend(node, kHashNodeEntriesOffset, levels - 1);
  }

  ext2_filsys fs_;
  IoManager& io_;
  const RawInode& directory_;
  std::string_view leaf_;
  uint32_t hash_ = 0;
  FileMap map_;
  std::vector<uint64_t> leaves_;
};

}  // namespace

bool HasUsableIndex(ext2_filsys fs, const RawInode& directory) noexcept {
  return ext2fs_has_feature_dir_index(fs->super) && directory.Has(EXT2_INDEX_FL) &&
         !directory.Has(EXT4_INLINE_DATA_FL | EXT4_CASEFOLD_FL | EXT4_ENCRYPT_FL);
}

int HashVersion(ext2_filsys fs, uint8_t stored) noexcept {
  const bool is_unsigned = (fs->super->s_flags & EXT2_FLAGS_UNSIGNED_HASH) != 0;
  return is_unsigned && stored <= EXT2_HASH_TEA ? stored + 3 : stored;
}

Result<std::vector<uint64_t>> FindLeaves(ext2_filsys fs, IoManager& io, const RawInode& directory,
                                         std::string_view leaf) {
  IndexSearch search(fs, io, directory, leaf);
  return search.Run();
}

}  // namespace mica::guest
