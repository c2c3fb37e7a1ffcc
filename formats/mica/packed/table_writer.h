// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "formats/mica/packed/append_file.h"
#include "formats/mica/packed/table_page.h"

namespace mica::packed {

// Writes a table from records in ascending order. A page goes to the file when it is full, so that
// memory is one page for each level whatever the size.
class TableWriter {
 public:
  // Borrows both. Of the header only the size of chunks is looked at.
  TableWriter(AppendFile& file, const Header& header, Table table)
      : file_(file), header_(header), table_(table) {}

  // `record` is RecordBytes(…, 0) of the table.
  Async<void> Add(uint64_t key, ConstBytes record);
  // Nothing may be added afterwards.
  Async<TableRoot> Finish();

 private:
  struct Level {
    AlignedBuffer page;
    uint32_t count = 0;
    uint64_t first_key = 0;
  };
  // The record may be gone when this waits: it is copied first.
  Async<void> AddTo(uint32_t level, uint64_t key, ConstBytes record);
  Async<PageReference> WritePage(uint32_t level);
  void Put(uint32_t level, uint64_t key, ConstBytes record);

  AppendFile& file_;
  const Header& header_;
  const Table table_;
  std::vector<Level> levels_;
};

}  // namespace mica::packed
