// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/chunk_map.h"

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "engine/base/bytes.h"

namespace mica::guest {

namespace {

constexpr uint32_t kItemsAtOnce = 4096;
constexpr size_t kChunksMax = 1'000'000;

// Of these every address has one place, or two that hold the same.
constexpr uint64_t kStriped = BTRFS_BLOCK_GROUP_RAID0 | BTRFS_BLOCK_GROUP_RAID1 |
                              BTRFS_BLOCK_GROUP_RAID10 | BTRFS_BLOCK_GROUP_RAID56_MASK;

}  // namespace

Result<ChunkMap> ChunkMap::Read(int root) {
  ChunkMap map;
  for (uint64_t from = 0;;) {
    btrfs_ioctl_search_args search{};
    search.key.tree_id = BTRFS_CHUNK_TREE_OBJECTID;
    search.key.min_objectid = search.key.max_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID;
    search.key.min_type = search.key.max_type = BTRFS_CHUNK_ITEM_KEY;
    search.key.min_offset = from;
    search.key.max_offset = std::numeric_limits<uint64_t>::max();
    search.key.max_transid = std::numeric_limits<uint64_t>::max();
    search.key.nr_items = kItemsAtOnce;
    if (::ioctl(root, BTRFS_IOC_TREE_SEARCH, &search) != 0) {
      return ErrnoError(errno, "read the chunks of a btrfs file system");
    }
    if (search.key.nr_items == 0) return map;
    ConstBytes items = std::as_bytes(std::span(search.buf));
    for (uint32_t i = 0; i < search.key.nr_items; ++i) {
      btrfs_ioctl_search_header header{};
      if (items.size() < sizeof header) break;
      std::memcpy(&header, items.data(), sizeof header);
      items = items.subspan(sizeof header);
      btrfs_chunk chunk{};
      if (header.len < sizeof chunk || items.size() < header.len) break;
      std::memcpy(&chunk, items.data(), sizeof chunk);
      items = items.subspan(header.len);
      from = header.offset + 1;
      if ((chunk.type & kStriped) != 0)
        continue;  // little-endian on disk, as on every host we know
      map.chunks_[header.offset] = {chunk.length, chunk.stripe.offset};
    }
    if (from == 0 || map.chunks_.size() > kChunksMax) {
      return Error{Errc::kCorrupt, "a btrfs file system with chunks beyond counting"};
    }
  }
}

std::optional<uint64_t> ChunkMap::PlaceOf(uint64_t address, uint64_t length) const {
  auto chunk = chunks_.upper_bound(address);
  if (chunk == chunks_.begin()) return std::nullopt;
  --chunk;
  const uint64_t skip = address - chunk->first;
  if (skip >= chunk->second.length || length > chunk->second.length - skip) return std::nullopt;
  return chunk->second.place + skip;
}

}  // namespace mica::guest
