// SPDX-License-Identifier: Apache-2.0
#include "formats/index_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/base/checked_math.h"
#include "engine/digest.h"

namespace mica {

std::filesystem::path IndexPath(const std::filesystem::path& top_parent) {
  std::filesystem::path path = top_parent;
  path += ".index";
  return path;
}

void IndexFile::Tell(const Error& why) const {
  if (note_) note_(fmt::format("{}: {}", path_.string(), why.message));
}

Async<std::shared_ptr<IndexFile::Opened>> IndexFile::Open() {
  auto opened = std::make_shared<Opened>();
  const OpenOptions options;
  CO_ASSIGN(opened->file, co_await host_.Open(path_, options));
  CO_ASSIGN(opened->size, co_await opened->file->Size());
  AlignedBuffer page(kIndexPageBytes);
  CO_TRY(co_await opened->file->Read(0, page.span()));
  CO_ASSIGN(const IndexFileHeader found, DecodeIndexHeader(page.span()));
  if (found != expected_) {
    co_return Error{Errc::kMismatch, "is the index of other parents; it is made again"};
  }
  if (opened->size < IndexTableEnd(found.regions)) {
    co_return Error{Errc::kCorrupt, "is cut short; it is made again"};
  }
  co_return opened;
}

Async<std::optional<IndexRegion>> IndexFile::Load(uint32_t region) {
  if (!tried_) {
    tried_ = true;
    Result<std::shared_ptr<Opened>> opened = co_await Open();
    if (opened) {
      opened_ = *std::move(opened);
    } else {
      Tell(opened.error());
    }
  }
  if (opened_ == nullptr) co_return std::optional<IndexRegion>();
  Result<std::optional<IndexRegion>> loaded = co_await LoadFrom(opened_, region);
  if (!loaded) {
    Tell(loaded.error());
    co_return std::optional<IndexRegion>();
  }
  co_return loaded;
}

Async<std::optional<IndexRegion>> IndexFile::LoadFrom(std::shared_ptr<Opened> opened,
                                                      uint32_t region) {
  std::optional<IndexRegion> loaded;
  const uint64_t page_offset = IndexPageOffset(region);
  if (!opened->pages.contains(page_offset)) {
    AlignedBuffer page(kIndexPageBytes);
    CO_TRY(co_await opened->file->Read(page_offset, page.span()));
    CO_ASSIGN(opened->pages[page_offset], DecodeIndexPage(page.span()));
  }
  const IndexRecord record = opened->pages[page_offset][region % kIndexRecordsPerPage];
  if (record.entries == 0) co_return loaded;
  if (!FitsInside(ByteRange{record.offset, record.bytes()}, opened->size)) {
    co_return Error{Errc::kCorrupt, "a region of the chain index lies outside the file"};
  }
  AlignedBuffer bytes(record.bytes());
  CO_TRY(co_await opened->file->Read(record.offset, bytes.span()));
  CO_ASSIGN(loaded, DecodeIndexEntries(record, bytes.span(), expected_.layers));
  co_return loaded;
}

Async<void> IndexFile::Save(std::vector<std::pair<uint32_t, IndexRegion>> built) {
  const std::filesystem::path temporary = path_.string() + ".tmp";
  Result<void> saved = co_await Write(temporary, std::move(built));
  if (saved) saved = co_await host_.Rename(temporary, path_);
  if (!saved) {
    Tell(saved.error());
    static_cast<void>(co_await host_.Remove(temporary));
    co_return saved;
  }
  tried_ = false;
  opened_.reset();
  co_return saved;
}

// The header comes last, so that a file that is not finished is none. Two processes that write at
// the same time may publish each other's file: whatever it holds is verified when it is read.
Async<void> IndexFile::Write(std::filesystem::path temporary,
                             std::vector<std::pair<uint32_t, IndexRegion>> built) {
  const Result<void> removed = co_await host_.Remove(temporary);  // left by a process that died
  if (!removed && removed.error().code != Errc::kNotFound) co_return removed.error();
  OpenOptions options;
  options.writable = true;
  CO_ASSIGN(const std::unique_ptr<BlockFile> file,
            co_await host_.CreateExclusive(temporary, options));
  std::vector<IndexRecord> records(expected_.regions);
  uint64_t end = IndexTableEnd(expected_.regions);
  auto next = built.begin();  // ascending
  for (uint32_t region = 0; region < expected_.regions; ++region) {
    std::optional<IndexRegion> content;
    if (next != built.end() && next->first == region) {
      content = std::move(next->second);
      ++next;
    } else {
      CO_ASSIGN(content, co_await Load(region));
    }
    if (!content) continue;
    const std::vector<std::byte> bytes = EncodeIndexEntries(*content);
    CO_TRY(co_await file->Write(end, bytes));
    records[region].offset = end;
    records[region].entries = static_cast<uint32_t>(content->entries().size());
    records[region].hash = DigestBlock(bytes);
    end += bytes.size();
  }
  AlignedBuffer page(kIndexPageBytes);
  for (uint32_t first = 0; first < expected_.regions; first += kIndexRecordsPerPage) {
    const size_t count = std::min(kIndexRecordsPerPage, expected_.regions - first);
    EncodeIndexPage(std::span(records).subspan(first, count), page.span());
    CO_TRY(co_await file->Write(IndexPageOffset(first), page.span()));
  }
  CO_TRY(co_await file->Sync());
  EncodeIndexHeader(expected_, page.span());
  CO_TRY(co_await file->Write(0, page.span()));
  co_return co_await file->Sync();
}

}  // namespace mica
