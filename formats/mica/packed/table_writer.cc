// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/table_writer.h"

#include <array>

namespace mica::packed {

void TableWriter::Put(uint32_t level, uint64_t key, ConstBytes record) {
  Level& at = levels_[level];
  if (at.count == 0) {
    at.first_key = key;
    BeginPage(table_, level, key, at.page.span());
  }
  PutRecord(at.page.span(), at.count++, record);
}

Async<PageReference> TableWriter::WritePage(uint32_t level) {
  Level& at = levels_[level];
  PageReference written;
  written.table = table_;
  written.level = level;
  written.first_key = at.first_key;
  written.hash = FinishPage(at.page.span(), at.count);
  at.count = 0;
  CO_ASSIGN(const uint64_t offset, co_await file_.AppendPage(at.page.span()));
  written.page = offset / kPageBytes;
  co_return written;
}

Async<void> TableWriter::Add(uint64_t key, ConstBytes record) {
  co_return co_await AddTo(0, key, record);
}

Async<void> TableWriter::AddTo(uint32_t level, uint64_t key, ConstBytes record) {
  if (level == levels_.size()) {
    Level added;
    added.page = AlignedBuffer(kPageBytes);
    levels_.push_back(std::move(added));
  }
  // A full page waits for one more record, so that a table never ends in a level of one page.
  if (levels_[level].count == RecordsPerPage(header_, table_, level)) {
    CO_ASSIGN(const PageReference full, co_await WritePage(level));
    std::array<std::byte, 24> index{};
    EncodeIndexRecord(full, index);
    CO_TRY(co_await AddTo(level + 1, full.first_key, index));
  }
  Put(level, key, record);
  co_return Result<void>();
}

Async<TableRoot> TableWriter::Finish() {
  TableRoot root;
  // Levels may be added on the way.
  for (uint32_t level = 0; level < levels_.size(); ++level) {
    CO_ASSIGN(const PageReference last, co_await WritePage(level));
    if (level + 1 == levels_.size()) {
      root.page = last.page;
      root.hash = last.hash;
      root.levels = level + 1;
      break;
    }
    std::array<std::byte, 24> index{};
    EncodeIndexRecord(last, index);
    CO_TRY(co_await AddTo(level + 1, last.first_key, index));
  }
  co_return root;
}

}  // namespace mica::packed
