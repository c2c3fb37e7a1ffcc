// SPDX-License-Identifier: Apache-2.0
// The file TOPPARENT.index: the chain index of what is under the children of TOPPARENT, kept from
// one process to the next. It can be removed at any time and is made again. All integers
// little-endian.
//
//   offset bytes
//        0     8  magic "MICACIDX"
//        8     4  version, 1
//       12     4  bytes per block, 4096
//       16     4  layers, 2 to 255
//       20     4  regions of 1 GiB
//       24    16  stack digest: XXH3-128 over {UUID 16, seal digest 16, virtual size 8, parent
//       bytes
//                 8} of every layer from the top parent down
//       40  4048  zero
//     4088     8  XXH64 of bytes 0 to 4087
//     4096     …  the table, in pages of 4096 bytes: 170 x {file offset 8, entries 4, zero 4,
//                 XXH3-64 of the entries 8}, zero 8, XXH3-64 of bytes 0 to 4087. Entries 0: the
//                 region is not in the file
//        …     …  entries of regions, 4 bytes each (engine/index_region.h), wherever the table says
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "engine/index_region.h"
#include "engine/layer.h"

namespace mica {

inline constexpr size_t kIndexPageBytes = 4096;
inline constexpr uint32_t kIndexRecordsPerPage = 170;

struct IndexFileHeader {
  uint32_t layers = 0;
  uint32_t regions = 0;
  std::array<uint8_t, 16> stack_digest{};
  friend bool operator==(const IndexFileHeader&, const IndexFileHeader&) = default;
};

struct IndexRecord {
  uint64_t offset = 0;
  uint32_t entries = 0;
  uint64_t hash = 0;

  [[nodiscard]] uint64_t bytes() const noexcept { return uint64_t{entries} * sizeof(uint32_t); }
  friend bool operator==(const IndexRecord&, const IndexRecord&) = default;
};

// What the header of a file for these layers must be; empty when one of them is not sealed, or when
// there is nothing to index.
std::optional<IndexFileHeader> IndexHeaderOf(const std::vector<std::shared_ptr<Layer>>& layers);

// Where the page of the table is that holds a region's record, and where the table ends.
uint64_t IndexPageOffset(uint32_t region) noexcept;
uint64_t IndexTableEnd(uint32_t regions) noexcept;

// `page` is kIndexPageBytes long. Decoding takes any input: kCorrupt, or kUnsupported for a newer
// version.
void EncodeIndexHeader(const IndexFileHeader& header, Bytes page) noexcept;
Result<IndexFileHeader> DecodeIndexHeader(ConstBytes page);

// Up to kIndexRecordsPerPage records.
void EncodeIndexPage(std::span<const IndexRecord> records, Bytes page) noexcept;
// All kIndexRecordsPerPage. A record's `entries` is at most kIndexRegionBlocks.
Result<std::vector<IndexRecord>> DecodeIndexPage(ConstBytes page);

std::vector<std::byte> EncodeIndexEntries(const IndexRegion& region);
// `bytes` are the record's.
Result<IndexRegion> DecodeIndexEntries(const IndexRecord& record, ConstBytes bytes,
                                       uint32_t layers);

}  // namespace mica
