// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/table_reader.h"

namespace mica::packed {

PageReference TableReader::Root(Table table) const noexcept {
  const TableRoot& root = table == Table::kExtents ? header_.extents : header_.chunks;
  PageReference reference;
  reference.page = root.page;
  reference.hash = root.hash;
  reference.table = table;
  reference.level = root.levels == 0 ? 0 : root.levels - 1;
  reference.end_key = table == Table::kExtents ? header_.BlockCount() : header_.ChunkCount();
  return reference;
}

Async<TableReader::Page> TableReader::Load(PageReference reference) {
  // A page that was verified as something else does not count.
  if (const Page* const known = pages_.Find(reference.page);
      known != nullptr && (*known)->reference() == reference) {
    co_return *known;
  }
  AlignedBuffer bytes(kPageBytes);
  CO_TRY(co_await file_.Read(reference.page * kPageBytes, bytes.span()));
  CO_ASSIGN(Page page, TablePage::Decode(std::move(bytes), header_, reference));
  pages_.Insert(reference.page, page, kPageCost);
  co_return page;
}

Async<TableReader::Found> TableReader::Find(Table table, uint64_t key) {
  PageReference reference = Root(table);
  Found found;
  found.end_key = reference.end_key;
  if (reference.page == 0) co_return found;
  while (true) {
    found.end_key = reference.end_key;
    Result<Page> loaded = co_await Load(reference);
    if (!loaded && loaded.error().code != Errc::kCorrupt) co_return std::move(loaded).error();
    if (!loaded) {
      found.damage = std::move(loaded).error();
      co_return found;
    }
    const Page page = *std::move(loaded);
    if (reference.level == 0) {
      found.page = page;
      co_return found;
    }
    const std::optional<uint32_t> index = page->LastAtOrBelow(key);
    if (!index) {
      found.end_key = page->Key(0);
      co_return found;
    }
    reference = page->Child(*index);
  }
}

}  // namespace mica::packed
