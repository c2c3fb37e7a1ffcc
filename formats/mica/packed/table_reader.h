// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/base/lru_map.h"
#include "engine/io/block_file.h"
#include "formats/mica/packed/table_page.h"

namespace mica::packed {

// The tables of an open packed image: pages are read when they are first needed, verified, and kept
// up to a limit. Loop thread only.
class TableReader {
 public:
  // A leaf and where the next one begins; without a page, nothing is said from the key on to there,
  // or, with damage, nothing is known.
  struct Found {
    std::shared_ptr<const TablePage> page;
    uint64_t end_key = 0;
    std::optional<Error> damage;  // kCorrupt, names the page
  };

  // Borrows both.
  TableReader(BlockFile& file, const Header& header)
      : file_(file), header_(header), pages_(kCacheBytesMax) {}

  // `key` is below the table's end: the disk's blocks or the chunks. Errors of the host.
  Async<Found> Find(Table table, uint64_t key);

 private:
  // The chunk table of 8 GiB of content is 23 MiB: the part in use stays, at most this much.
  static constexpr size_t kCacheBytesMax = size_t{8} << 20;
  static constexpr size_t kPageCost = kPageBytes + 256;

  using Page = std::shared_ptr<const TablePage>;
  Async<Page> Load(PageReference reference);
  [[nodiscard]] PageReference Root(Table table) const noexcept;

  BlockFile& file_;
  const Header& header_;
  LruMap<uint64_t, Page> pages_;
};

}  // namespace mica::packed
