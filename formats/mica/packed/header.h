// SPDX-License-Identifier: Apache-2.0
// The header of a packed image (FORMAT.md in this folder, section 2).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/base/result.h"
#include "engine/layer.h"
#include "formats/mica/layout.h"

namespace mica::packed {

inline constexpr uint32_t kBlockBytes = native::kSlotBytes;  // of the guest's disk
inline constexpr uint32_t kPageBytes = 4096;                 // of tables; also of a header
inline constexpr uint32_t kHeaderCopies = 2;                 // pages 0 and 1
inline constexpr uint32_t kTableLevelsMax = 8;
inline constexpr std::string_view kHeaderMagic = "MICAPAK\x01";

// Where the root page of a table lies. No levels: the table is empty.
struct TableRoot {
  uint64_t page = 0;
  uint64_t hash = 0;
  uint32_t levels = 0;  // pages from the root to a leaf
  friend bool operator==(const TableRoot&, const TableRoot&) = default;
};

struct Header {
  uint32_t chunk_bytes = 0;  // of content
  int32_t level = 0;         // of compression, for people
  LayerIdentity identity;
  std::optional<ParentReference> parent;
  uint64_t parent_bytes = 0;  // see native::Superblock
  uint64_t file_bytes = 0;    // whole pages
  uint64_t data_blocks = 0;   // blocks of content
  uint64_t stored_bytes = 0;  // of all chunks as they are stored
  TableRoot extents;
  TableRoot chunks;

  [[nodiscard]] uint32_t BlocksPerChunk() const noexcept { return chunk_bytes / kBlockBytes; }
  [[nodiscard]] uint64_t ChunkCount() const noexcept {
    return DivideRoundUp(data_blocks, BlocksPerChunk());
  }
  // Of the disk.
  [[nodiscard]] uint64_t BlockCount() const noexcept {
    return DivideRoundUp(identity.virtual_size, kBlockBytes);
  }
  // All chunks have chunk_bytes, but the last one may have less.
  [[nodiscard]] uint32_t ContentBytes(uint64_t chunk) const noexcept {
    const uint64_t blocks = data_blocks - chunk * BlocksPerChunk();
    return static_cast<uint32_t>(std::min<uint64_t>(blocks * kBlockBytes, chunk_bytes));
  }
};

[[nodiscard]] bool IsChunkSize(uint64_t bytes) noexcept;

// True when the page begins or ends like a header, valid or not.
bool LooksLikeHeader(ConstBytes page) noexcept;

// `page` has kPageBytes. The parent fits (native::CheckParent).
void EncodeHeader(const Header& header, Bytes page) noexcept;

// Any input. kCorrupt when it is damaged or contradicts itself, kUnsupported for a version or an
// incompatible feature this build does not know.
Result<Header> DecodeHeader(ConstBytes page);

// The first valid one of the two copies. kCorrupt when there is none.
Result<Header> ChooseHeader(ConstBytes first, ConstBytes second);

// The name of the image's content (ContentName): equal for equal headers, which name all else by
// its hash.
ContentName ContentNameOf(const Header& header);

}  // namespace mica::packed
