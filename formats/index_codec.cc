// SPDX-License-Identifier: Apache-2.0
#include "formats/index_codec.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "engine/digest.h"

namespace mica {

namespace {

constexpr std::string_view kMagic = "MICACIDX";
constexpr uint32_t kVersion = 1;
constexpr size_t kHashOffset = kIndexPageBytes - 8;
constexpr size_t kRecordBytes = 24;
constexpr uint32_t kLayersMax = 255;

void AddToDigest(StreamDigest& digest, const LayerInfo& info) {
  std::array<std::byte, 48> record{};
  std::ranges::copy(std::as_bytes(std::span(info.identity->uuid)), record.begin());
  std::ranges::copy(std::as_bytes(std::span(info.identity->digest)), record.begin() + 16);
  StoreLe<uint64_t>(record, 32, info.virtual_size);
  StoreLe<uint64_t>(record, 40, info.parent_bytes);
  digest.Update(record);
}

}  // namespace

std::optional<IndexFileHeader> IndexHeaderOf(const std::vector<std::shared_ptr<Layer>>& layers) {
  if (layers.size() < 2 || layers.size() > kLayersMax) return std::nullopt;
  StreamDigest digest;
  for (const std::shared_ptr<Layer>& layer : layers) {
    if (!layer->info().sealed || !layer->info().identity) return std::nullopt;
    AddToDigest(digest, layer->info());
  }
  IndexFileHeader header;
  header.layers = static_cast<uint32_t>(layers.size());
  const uint64_t size = layers.front()->info().virtual_size;
  header.regions = static_cast<uint32_t>(DivideRoundUp(size, kIndexRegionBytes));
  header.stack_digest = digest.Finish();
  return header;
}

uint64_t IndexPageOffset(uint32_t region) noexcept {
  return kIndexPageBytes * (1 + uint64_t{region} / kIndexRecordsPerPage);
}

uint64_t IndexTableEnd(uint32_t regions) noexcept {
  return kIndexPageBytes * (1 + DivideRoundUp(regions, kIndexRecordsPerPage));
}

void EncodeIndexHeader(const IndexFileHeader& header, Bytes page) noexcept {
  FillZero(page);
  std::ranges::copy(AsBytes(kMagic), page.begin());
  StoreLe<uint32_t>(page, 8, kVersion);
  StoreLe<uint32_t>(page, 12, kIndexBlockBytes);
  StoreLe<uint32_t>(page, 16, header.layers);
  StoreLe<uint32_t>(page, 20, header.regions);
  std::ranges::copy(std::as_bytes(std::span(header.stack_digest)), page.begin() + 24);
  StoreLe<uint64_t>(page, kHashOffset, XXH64(page.data(), kHashOffset, 0));
}

Result<IndexFileHeader> DecodeIndexHeader(ConstBytes page) {
  if (page.size() < kIndexPageBytes || AsText(page.first(kMagic.size())) != kMagic) {
    return Error{Errc::kCorrupt, "not a chain index: the magic MICACIDX is missing"};
  }
  if (LoadLe<uint64_t>(page, kHashOffset) != XXH64(page.data(), kHashOffset, 0)) {
    return Error{Errc::kCorrupt, "the header of the chain index fails its checksum"};
  }
  const uint32_t version = LoadLe<uint32_t>(page, 8);
  const uint32_t block_bytes = LoadLe<uint32_t>(page, 12);
  if (version != kVersion || block_bytes != kIndexBlockBytes) {
    return Error{Errc::kUnsupported,
                 fmt::format("chain index of version {} with {}-byte blocks; this build reads "
                             "version {} with {}-byte blocks",
                             version, block_bytes, kVersion, kIndexBlockBytes)};
  }
  IndexFileHeader header;
  header.layers = LoadLe<uint32_t>(page, 16);
  header.regions = LoadLe<uint32_t>(page, 20);
  std::ranges::copy(page.subspan(24, 16),
                    std::as_writable_bytes(std::span(header.stack_digest)).begin());
  if (header.layers < 2 || header.layers > kLayersMax) {
    return Error{Errc::kCorrupt, fmt::format("a chain index of {} layers: expected 2 to {}",
                                             header.layers, kLayersMax)};
  }
  return header;
}

void EncodeIndexPage(std::span<const IndexRecord> records, Bytes page) noexcept {
  FillZero(page);
  size_t at = 0;
  for (const IndexRecord& record : records) {
    StoreLe<uint64_t>(page, at, record.offset);
    StoreLe<uint32_t>(page, at + 8, record.entries);
    StoreLe<uint64_t>(page, at + 16, record.hash);
    at += kRecordBytes;
  }
  StoreLe<uint64_t>(page, kHashOffset, DigestBlock(page.first(kHashOffset)));
}

Result<std::vector<IndexRecord>> DecodeIndexPage(ConstBytes page) {
  if (page.size() < kIndexPageBytes ||
      LoadLe<uint64_t>(page, kHashOffset) != DigestBlock(page.first(kHashOffset))) {
    return Error{Errc::kCorrupt, "a page of the chain index's table fails its checksum"};
  }
  std::vector<IndexRecord> records(kIndexRecordsPerPage);
  size_t at = 0;
  for (IndexRecord& record : records) {
    record.offset = LoadLe<uint64_t>(page, at);
    record.entries = LoadLe<uint32_t>(page, at + 8);
    record.hash = LoadLe<uint64_t>(page, at + 16);
    at += kRecordBytes;
    if (record.entries > kIndexRegionBlocks) {
      return Error{Errc::kCorrupt,
                   fmt::format("a region of the chain index has {} entries: expected at most {}",
                               record.entries, kIndexRegionBlocks)};
    }
  }
  return records;
}

std::vector<std::byte> EncodeIndexEntries(const IndexRegion& region) {
  std::vector<std::byte> bytes(region.entries().size_bytes());
  size_t at = 0;
  for (const uint32_t entry : region.entries()) {
    StoreLe<uint32_t>(bytes, at, entry);
    at += sizeof entry;
  }
  return bytes;
}

Result<IndexRegion> DecodeIndexEntries(const IndexRecord& record, ConstBytes bytes,
                                       uint32_t layers) {
  if (bytes.size() != record.bytes() || DigestBlock(bytes) != record.hash) {
    return Error{Errc::kCorrupt, "a region of the chain index fails its checksum"};
  }
  std::vector<uint32_t> entries(record.entries);
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i] = LoadLe<uint32_t>(bytes, i * sizeof(uint32_t));
  }
  return IndexRegion::FromEntries(std::move(entries), layers);
}

}  // namespace mica
