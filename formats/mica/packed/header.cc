// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/header.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>

#include "engine/digest.h"
#include "formats/mica/field_codec.h"
#include "formats/mica/parent_record.h"

namespace mica::packed {

namespace {

constexpr uint32_t kVersion = 1;
constexpr uint32_t kCodecZstd = 1;
constexpr uint32_t kFlagSealed = 2;
constexpr uint32_t kFlagsKnown = kFlagSealed | native::kFlagParent | native::kFlagParentIdentity;

constexpr size_t kUuidOffset = 48;
constexpr size_t kExtentsOffset = 96;
constexpr size_t kDigestOffset = 128;
constexpr size_t kChunksOffset = 224;
constexpr size_t kParentBytesOffset = 248;
constexpr size_t kSecondMagicOffset = 4080;
constexpr size_t kHashOffset = 4088;

void EncodeRoot(const TableRoot& root, Bytes out) noexcept {
  StoreLe<uint64_t>(out, 0, root.page);
  StoreLe<uint64_t>(out, 8, root.hash);
  StoreLe<uint32_t>(out, 16, root.levels);
}

TableRoot DecodeRoot(ConstBytes in) noexcept {
  TableRoot root;
  root.page = LoadLe<uint64_t>(in, 0);
  root.hash = LoadLe<uint64_t>(in, 8);
  root.levels = LoadLe<uint32_t>(in, 16);
  return root;
}

Result<void> CheckRoot(const Header& header, const TableRoot& root, std::string_view table) {
  const uint64_t pages = header.file_bytes / kPageBytes;
  const bool none = root == TableRoot{};
  const bool some = root.levels >= 1 && root.levels <= kTableLevelsMax &&
                    root.page >= kHeaderCopies && root.page < pages;
  if (none || some) return {};
  return Error{Errc::kCorrupt,
               fmt::format("packed header: a {} table of {} levels at page {} of {}", table,
                           root.levels, root.page, pages)};
}

Result<void> CheckFields(const Header& header) {
  const uint64_t size = header.identity.virtual_size;
  if (size > native::kVirtualSizeMax || header.parent_bytes > size) {
    return Error{Errc::kCorrupt,
                 fmt::format("packed header: virtual size {}, {} of it the parent's, at most {}",
                             size, header.parent_bytes, native::kVirtualSizeMax)};
  }
  if (!IsChunkSize(header.chunk_bytes)) {
    return Error{Errc::kCorrupt,
                 fmt::format("packed header: chunks of {} bytes", header.chunk_bytes)};
  }
  constexpr uint64_t kFileBytesMax = uint64_t{1} << 56;
  if (!IsAligned(header.file_bytes, kPageBytes) || header.file_bytes > kFileBytesMax ||
      header.file_bytes < kHeaderCopies * kPageBytes || header.data_blocks > header.BlockCount() ||
      header.stored_bytes > header.data_blocks * kBlockBytes ||
      header.stored_bytes > header.file_bytes) {
    return Error{Errc::kCorrupt,
                 fmt::format("packed header: {} blocks of {} in {} of {} bytes are impossible",
                             header.data_blocks, header.BlockCount(), header.stored_bytes,
                             header.file_bytes)};
  }
  TRY(CheckRoot(header, header.extents, "extent"));
  TRY(CheckRoot(header, header.chunks, "chunk"));
  const bool has_chunks = header.chunks.levels != 0;
  if (has_chunks != (header.data_blocks != 0) || (has_chunks && header.extents.levels == 0)) {
    return Error{Errc::kCorrupt,
                 fmt::format("packed header: {} blocks of data, but a chunk table "
                             "of {} levels and an extent table of {}",
                             header.data_blocks, header.chunks.levels, header.extents.levels)};
  }
  return {};
}

}  // namespace

bool IsChunkSize(uint64_t bytes) noexcept {
  return bytes == 16384 || bytes == 32768 || bytes == 65536;
}

bool LooksLikeHeader(ConstBytes page) noexcept {
  if (page.size() < kHeaderMagic.size()) return false;
  if (AsText(page.first(kHeaderMagic.size())) == kHeaderMagic) return true;
  return page.size() >= kPageBytes &&
         AsText(page.subspan(kSecondMagicOffset, kHeaderMagic.size())) == kHeaderMagic;
}

void EncodeHeader(const Header& header, Bytes page) noexcept {
  FillZero(page);
  uint32_t flags = kFlagSealed;
  if (header.parent) flags |= native::EncodeParent(*header.parent, page);
  native::StoreText(page, 0, kHeaderMagic);
  StoreLe<uint32_t>(page, 8, kVersion);
  StoreLe<uint32_t>(page, 12, kBlockBytes);
  StoreLe<uint32_t>(page, 16, header.chunk_bytes);
  StoreLe<uint32_t>(page, 20, static_cast<uint32_t>(header.level));
  StoreLe<uint32_t>(page, 32, kCodecZstd);
  StoreLe<uint64_t>(page, 40, header.file_bytes);
  native::StoreArray(page, kUuidOffset, header.identity.uuid);
  StoreLe<uint64_t>(page, 64, header.identity.virtual_size);
  StoreLe<uint32_t>(page, 72, flags);
  StoreLe<uint64_t>(page, 80, header.data_blocks);
  StoreLe<uint64_t>(page, 88, header.stored_bytes);
  EncodeRoot(header.extents, page.subspan(kExtentsOffset));
  native::StoreArray(page, kDigestOffset, header.identity.digest);
  EncodeRoot(header.chunks, page.subspan(kChunksOffset));
  StoreLe<uint64_t>(page, kParentBytesOffset, header.parent_bytes);
  native::StoreText(page, kSecondMagicOffset, kHeaderMagic);
  StoreLe<uint64_t>(page, kHashOffset, XXH64(page.data(), kHashOffset, 0));
}

Result<Header> DecodeHeader(ConstBytes page) {
  if (page.size() < kPageBytes || AsText(page.first(kHeaderMagic.size())) != kHeaderMagic) {
    return Error{Errc::kCorrupt, "packed header: the magic is missing"};
  }
  if (LoadLe<uint64_t>(page, kHashOffset) != XXH64(page.data(), kHashOffset, 0)) {
    return Error{Errc::kCorrupt, "packed header: the checksum does not match"};
  }
  const uint32_t version = LoadLe<uint32_t>(page, 8);
  const uint32_t block_bytes = LoadLe<uint32_t>(page, 12);
  const uint64_t features = LoadLe<uint64_t>(page, 24);
  const uint32_t codec = LoadLe<uint32_t>(page, 32);
  const uint32_t flags = LoadLe<uint32_t>(page, 72);
  if (version != kVersion || block_bytes != kBlockBytes || features != 0 || codec != kCodecZstd ||
      (flags & ~kFlagsKnown) != 0) {
    return Error{Errc::kUnsupported,
                 fmt::format("packed mica image of version {}, {}-byte blocks, features {:#x}, "
                             "codec {}, flags {:#x}; this build reads version {} with {}-byte "
                             "blocks and codec {}: a newer mica is needed",
                             version, block_bytes, features, codec, flags, kVersion, kBlockBytes,
                             kCodecZstd)};
  }
  Header header;
  header.chunk_bytes = LoadLe<uint32_t>(page, 16);
  header.level = static_cast<int32_t>(LoadLe<uint32_t>(page, 20));
  header.file_bytes = LoadLe<uint64_t>(page, 40);
  header.identity.uuid = native::LoadArray<16>(page, kUuidOffset);
  header.identity.virtual_size = LoadLe<uint64_t>(page, 64);
  header.data_blocks = LoadLe<uint64_t>(page, 80);
  header.stored_bytes = LoadLe<uint64_t>(page, 88);
  header.extents = DecodeRoot(page.subspan(kExtentsOffset));
  header.identity.digest = native::LoadArray<16>(page, kDigestOffset);
  header.chunks = DecodeRoot(page.subspan(kChunksOffset));
  header.parent_bytes = LoadLe<uint64_t>(page, kParentBytesOffset);
  if ((flags & native::kFlagParent) != 0) {
    ASSIGN(header.parent, native::DecodeParent(page, flags));
  }
  TRY(CheckFields(header));
  return header;
}

Result<Header> ChooseHeader(ConstBytes first, ConstBytes second) {
  Result<Header> a = DecodeHeader(first);
  if (a || a.error().code == Errc::kUnsupported) return a;
  Result<Header> b = DecodeHeader(second);
  if (b || b.error().code == Errc::kUnsupported) return b;
  return Error{Errc::kCorrupt, "both headers are damaged (" + a.error().message + ")"};
}

ContentName ContentNameOf(const Header& header) {
  std::array<std::byte, kPageBytes> page;
  EncodeHeader(header, page);
  StreamDigest digest;
  digest.Update(page);
  return digest.Finish();
}

}  // namespace mica::packed
