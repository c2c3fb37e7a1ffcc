// SPDX-License-Identifier: Apache-2.0
#include "formats/raw/sidecar.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "engine/base/aligned_buffer.h"

namespace mica {

namespace {

constexpr std::string_view kMagic = "MICASEAL";
constexpr uint32_t kVersion = 1;
constexpr size_t kHashOffset = kSidecarHeaderBytes - 8;
constexpr size_t kChunkDigests = 512;  // 4 KiB of sidecar, 2 MiB of master
constexpr size_t kChunksMax = 2048;    // 8 MiB of memory, 4 GiB of master

uint64_t BlockCount(uint64_t size_bytes) {
  return DivideRoundUp(size_bytes, kSidecarBlockBytes);
}

}  // namespace

std::filesystem::path SidecarPath(const std::filesystem::path& raw_path) {
  std::filesystem::path path = raw_path;
  path += ".seal";
  return path;
}

void EncodeSidecarHeader(const SidecarHeader& header, Bytes block) noexcept {
  FillZero(block);
  std::ranges::copy(AsBytes(kMagic), block.begin());
  StoreLe<uint32_t>(block, 8, kVersion);
  StoreLe<uint32_t>(block, 12, kSidecarBlockBytes);
  std::ranges::copy(std::as_bytes(std::span(header.identity.uuid)), block.begin() + 16);
  StoreLe<uint64_t>(block, 32, header.identity.virtual_size);
  StoreLe<uint64_t>(block, 40, static_cast<uint64_t>(header.modified_ns));
  std::ranges::copy(std::as_bytes(std::span(header.identity.digest)), block.begin() + 48);
  StoreLe<uint64_t>(block, 64, BlockCount(header.identity.virtual_size));
  StoreLe<uint64_t>(block, kHashOffset, XXH64(block.data(), kHashOffset, 0));
}

Result<SidecarHeader> DecodeSidecarHeader(ConstBytes block) {
  if (block.size() < kSidecarHeaderBytes || AsText(block.first(kMagic.size())) != kMagic) {
    return Error{Errc::kCorrupt, "not a seal sidecar: the magic MICASEAL is missing"};
  }
  if (LoadLe<uint64_t>(block, kHashOffset) != XXH64(block.data(), kHashOffset, 0)) {
    return Error{Errc::kCorrupt, "the header of the seal sidecar fails its checksum"};
  }
  const uint32_t version = LoadLe<uint32_t>(block, 8);
  const uint32_t block_bytes = LoadLe<uint32_t>(block, 12);
  if (version != kVersion || block_bytes != kSidecarBlockBytes) {
    return Error{Errc::kUnsupported,
                 fmt::format("seal sidecar of version {} with {}-byte blocks; this build reads "
                             "version {} with {}-byte blocks",
                             version, block_bytes, kVersion, kSidecarBlockBytes)};
  }
  SidecarHeader header;
  std::ranges::copy(block.subspan(16, 16),
                    std::as_writable_bytes(std::span(header.identity.uuid)).begin());
  std::ranges::copy(block.subspan(48, 16),
                    std::as_writable_bytes(std::span(header.identity.digest)).begin());
  header.identity.virtual_size = LoadLe<uint64_t>(block, 32);
  header.modified_ns = static_cast<int64_t>(LoadLe<uint64_t>(block, 40));
  if (LoadLe<uint64_t>(block, 64) != BlockCount(header.identity.virtual_size)) {
    return Error{Errc::kCorrupt, "the seal sidecar contradicts itself: size and number of digests"};
  }
  return header;
}

Async<std::unique_ptr<Sidecar>> Sidecar::Open(Host& host, const std::filesystem::path& raw_path) {
  const std::filesystem::path path = SidecarPath(raw_path);
  const OpenOptions options;
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  CO_ASSIGN(const uint64_t size, co_await file->Size());
  AlignedBuffer block(kSidecarHeaderBytes);
  CO_TRY(co_await file->Read(0, block.span()));
  Result<SidecarHeader> header = DecodeSidecarHeader(block.span());
  if (!header) co_return std::move(header).error().WithContext(path.string());
  const uint64_t expected =
      kSidecarHeaderBytes + BlockCount(header->identity.virtual_size) * sizeof(BlockDigest);
  if (size < expected) {
    co_return Error{Errc::kCorrupt, fmt::format("{}: {} bytes long, its header asks for {}",
                                                path.string(), size, expected)};
  }
  co_return std::make_unique<Sidecar>(std::move(file), *header);
}

Async<std::shared_ptr<const Sidecar::Chunk>> Sidecar::LoadChunk(uint64_t index) {
  if (const auto found = chunks_.find(index); found != chunks_.end()) co_return found->second;
  const uint64_t first = index * kChunkDigests;
  const uint64_t count =
      std::min<uint64_t>(kChunkDigests, BlockCount(header_.identity.virtual_size) - first);
  AlignedBuffer bytes(AlignUp(count * sizeof(BlockDigest), kDirectIoAlignment));
  const uint64_t offset = kSidecarHeaderBytes + first * sizeof(BlockDigest);
  CO_TRY(co_await file_->Read(offset, bytes.span()));
  auto chunk = std::make_shared<Chunk>(count);
  for (size_t i = 0; i < count; ++i) {
    (*chunk)[i] = LoadLe<uint64_t>(bytes.span(), i * sizeof(BlockDigest));
  }
  std::shared_ptr<const Chunk> loaded = std::move(chunk);
  // Another call may have loaded the same chunk meanwhile; both copies are the same.
  if (chunks_.emplace(index, loaded).second) loaded_order_.push_back(index);
  while (loaded_order_.size() > kChunksMax) {
    chunks_.erase(loaded_order_.front());
    loaded_order_.pop_front();
  }
  co_return loaded;
}

Async<std::vector<BlockDigest>> Sidecar::Digests(uint64_t first_block, uint64_t count) {
  std::vector<BlockDigest> digests;
  digests.reserve(count);
  while (digests.size() < count) {
    const uint64_t block = first_block + digests.size();
    CO_ASSIGN(const std::shared_ptr<const Chunk> chunk, co_await LoadChunk(block / kChunkDigests));
    const size_t begin = block % kChunkDigests;
    const size_t part = std::min<size_t>(chunk->size() - begin, count - digests.size());
    digests.insert(digests.end(), chunk->begin() + static_cast<ptrdiff_t>(begin),
                   chunk->begin() + static_cast<ptrdiff_t>(begin + part));
  }
  co_return digests;
}

}  // namespace mica
