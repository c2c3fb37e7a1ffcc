// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/map_writer.h"

#include <ext2fs/ext3_extents.h>
#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/ext4/indirect_writer.h"

namespace mica::guest {

namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kEntryBytes = 12;
constexpr size_t kRootEntries = 4;
constexpr uint64_t kWrittenBlocksMax = 32768;    // of one extent
constexpr uint64_t kUnwrittenBlocksMax = 32767;  // of one unwritten extent
constexpr uint64_t kLogicalEnd = uint64_t{1} << 32;

using Entry = std::array<std::byte, kEntryBytes>;

struct Level {
  std::vector<Entry> entries;
  uint16_t depth = 0;
};

Entry LeafEntry(const FileExtent& extent) {
  Entry entry{};
  const Bytes to(entry);
  StoreLe(to, 0, static_cast<uint32_t>(extent.logical));
  const uint64_t length = extent.unwritten ? extent.length + kWrittenBlocksMax : extent.length;
  StoreLe(to, 4, static_cast<uint16_t>(length));
  StoreLe(to, 6, static_cast<uint16_t>(extent.physical >> 32));
  StoreLe(to, 8, static_cast<uint32_t>(extent.physical));
  return entry;
}

Entry IndexEntry(uint32_t logical, uint64_t block) {
  Entry entry{};
  const Bytes to(entry);
  StoreLe(to, 0, logical);
  StoreLe(to, 4, static_cast<uint32_t>(block));
  StoreLe(to, 8, static_cast<uint16_t>(block >> 32));
  return entry;
}

void StoreNode(Bytes to, std::span<const Entry> entries, uint16_t entries_max, uint16_t depth) {
  FillZero(to);
  StoreLe(to, 0, static_cast<uint16_t>(EXT3_EXT_MAGIC));
  StoreLe(to, 2, static_cast<uint16_t>(entries.size()));
  StoreLe(to, 4, entries_max);
  StoreLe(to, 6, depth);
  size_t at = kHeaderBytes;
  for (const Entry& entry : entries) {
    std::memcpy(to.data() + at, entry.data(), kEntryBytes);
    at += kEntryBytes;
  }
}

Result<Level> LeavesOf(const RawInode& inode, const std::vector<FileExtent>& extents) {
  Level level;
  for (FileExtent extent : extents) {
    if (extent.end() > kLogicalEnd) {
      return Error{Errc::kLimit, fmt::format("inode {} would be too large for ext4", inode.number)};
    }
    const uint64_t longest = extent.unwritten ? kUnwrittenBlocksMax : kWrittenBlocksMax;
    while (extent.length > 0) {
      FileExtent part = extent;
      part.length = std::min(extent.length, longest);
      level.entries.push_back(LeafEntry(part));
      extent.logical += part.length;
      extent.physical += part.length;
      extent.length -= part.length;
    }
  }
  return level;
}

// Moves all entries of a level into tree blocks; returns the level of index entries above.
Result<Level> StoreLevel(WriteContext& context, RawInode& inode, const Level& level) {
  ext2_filsys fs = context.fs();
  const size_t entries_max = (fs->blocksize - kHeaderBytes) / kEntryBytes;
  Level above;
  above.depth = static_cast<uint16_t>(level.depth + 1);
  std::vector<std::byte> block(fs->blocksize);
  std::span<const Entry> rest(level.entries);
  while (!rest.empty()) {
    const std::span<const Entry> part = rest.first(std::min(rest.size(), entries_max));
    rest = rest.subspan(part.size());
    ASSIGN(const BlockRun run, context.allocator.Take(1));
    TRY(AddToBlockCount(fs, inode, 1));
    StoreNode(block, part, static_cast<uint16_t>(entries_max), level.depth);
    errcode_t code = ext2fs_extent_block_csum_set(
        fs, inode.number, reinterpret_cast<ext3_extent_header*>(block.data()));
    if (code == 0) code = io_channel_write_blk64(fs->io, run.start, 1, block.data());
    if (code != 0)
      return Ext2Error(context.io(), code, fmt::format("extent tree of inode {}", inode.number));
    above.entries.push_back(IndexEntry(LoadLe<uint32_t>(part.front(), 0), run.start));
  }
  return above;
}

Result<void> StoreExtentTree(WriteContext& context, RawInode& inode,
                             const std::vector<FileExtent>& extents) {
  ASSIGN(Level level, LeavesOf(inode, extents));
  while (level.entries.size() > kRootEntries) {
    ASSIGN(level, StoreLevel(context, inode, level));
  }
  StoreNode(inode.block_area(), level.entries, kRootEntries, level.depth);
  return {};
}

// The whole clusters behind a map, sorted by place, without overlap.
std::vector<BlockRun> PhysicalRuns(const std::vector<FileExtent>& extents,
                                   uint64_t cluster_blocks) {
  std::vector<BlockRun> runs;
  runs.reserve(extents.size());
  for (const FileExtent& extent : extents) {
    const ByteRange whole = AlignOutward({extent.physical, extent.length}, cluster_blocks);
    runs.push_back({whole.offset, whole.length});
  }
  std::ranges::sort(runs, {}, &BlockRun::start);
  std::vector<BlockRun> joined;
  for (const BlockRun& run : runs) {
    if (!joined.empty() && run.start <= joined.back().start + joined.back().length) {
      BlockRun& last = joined.back();
      last.length = std::max(last.start + last.length, run.start + run.length) - last.start;
    } else {
      joined.push_back(run);
    }
  }
  return joined;
}

}  // namespace

void ReleaseUnused(WriteContext& context, RawInode& inode,
                   const std::vector<FileExtent>& old_extents,
                   const std::vector<FileExtent>& new_extents) {
  const uint64_t ratio = context.allocator.cluster_blocks();
  const std::vector<BlockRun> keep = PhysicalRuns(new_extents, ratio);
  auto kept = keep.begin();
  for (const BlockRun& run : PhysicalRuns(old_extents, ratio)) {
    uint64_t at = run.start;
    const uint64_t end = run.start + run.length;
    while (at < end) {
      while (kept != keep.end() && kept->start + kept->length <= at) ++kept;
      const uint64_t kept_start = kept == keep.end() ? end : std::min(end, kept->start);
      if (kept_start > at) {
        context.allocator.Free({at, kept_start - at});
        RemoveFromBlockCount(context.fs(), inode, (kept_start - at) / ratio);
      }
      at = kept == keep.end() ? end : std::max(at, kept->start + kept->length);
    }
  }
}

void AppendExtent(std::vector<FileExtent>& extents, const FileExtent& extent) {
  if (extent.length == 0) return;
  if (!extents.empty()) {
    FileExtent& last = extents.back();
    if (last.end() == extent.logical && last.physical + last.length == extent.physical &&
        last.unwritten == extent.unwritten) {
      last.length += extent.length;
      return;
    }
  }
  extents.push_back(extent);
}

void InitMap(ext2_filsys fs, RawInode& inode) {
  FillZero(inode.block_area());
  inode.large().i_flags &= ~static_cast<uint32_t>(EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL);
  if (!ext2fs_has_feature_extents(fs->super)) return;
  inode.large().i_flags |= EXT4_EXTENTS_FL;
  StoreNode(inode.block_area(), {}, kRootEntries, 0);
}

Result<void> StoreMap(WriteContext& context, RawInode& inode,
                      const std::vector<uint64_t>& old_metadata,
                      const std::vector<FileExtent>& extents) {
  for (const uint64_t block : old_metadata) context.allocator.Free({block, 1});
  RemoveFromBlockCount(context.fs(), inode, old_metadata.size());
  if (inode.Has(EXT4_EXTENTS_FL)) return StoreExtentTree(context, inode, extents);
  return StoreIndirectMap(context, inode, extents);
}

}  // namespace mica::guest
