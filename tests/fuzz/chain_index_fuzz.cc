// SPDX-License-Identifier: Apache-2.0
// A chain index file. Its checksums are made right, so that the fuzzer gets behind them; every
// region is loaded, and what is accepted must answer for every block and be saved again.
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/check.h"
#include "engine/base/checked_math.h"
#include "engine/digest.h"
#include "engine/io/memory_host.h"
#include "formats/index_file.h"

namespace {

using namespace mica;  // NOLINT(google-build-using-namespace)

constexpr size_t kHash = kIndexPageBytes - 8;
constexpr uint32_t kRegionsMax = 400;

// The checksums of the entries that the page's records name, where they lie in the file.
void MakeEntriesRight(std::vector<std::byte>& file, Bytes page) {
  for (size_t at = 0; at + 24 <= kHash; at += 24) {
    const uint64_t offset = LoadLe<uint64_t>(page, at);
    const uint64_t bytes = uint64_t{LoadLe<uint32_t>(page, at + 8)} * 4;
    if (bytes == 0 || !FitsInside(ByteRange{offset, bytes}, file.size())) continue;
    StoreLe<uint64_t>(page, at + 16, DigestBlock(ConstBytes(file).subspan(offset, bytes)));
  }
}

void MakeChecksumsRight(std::vector<std::byte>& file) {
  const Bytes header = Bytes(file).first(kIndexPageBytes);
  StoreLe<uint64_t>(header, kHash, XXH64(header.data(), kHash, 0));
  const uint32_t regions = std::min(LoadLe<uint32_t>(header, 20), kRegionsMax);
  for (uint64_t at = kIndexPageBytes; at < IndexTableEnd(regions); at += kIndexPageBytes) {
    if (at + kIndexPageBytes > file.size()) break;
    const Bytes page = Bytes(file).subspan(at, kIndexPageBytes);
    MakeEntriesRight(file, page);
    StoreLe<uint64_t>(page, kHash, DigestBlock(page.first(kHash)));
  }
}

void Check(const IndexRegion& region, uint32_t layers) {
  for (uint32_t block = 0; block < kIndexRegionBlocks;) {
    const IndexRegion::Found found = region.Find(block);
    MICA_CHECK(found.end_block > block && found.end_block <= kIndexRegionBlocks);
    MICA_CHECK(found.owner.layer < layers);
    block = found.end_block;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  std::vector<std::byte> bytes(input.begin(), input.end());
  if (bytes.size() < kIndexPageBytes) return 0;
  MakeChecksumsRight(bytes);
  const Result<IndexFileHeader> header = DecodeIndexHeader(bytes);
  // More regions than a disk can have are the business of whoever opens the images.
  if (!header || header->regions == 0 || header->regions > kRegionsMax) return 0;
  MemoryLoop loop;
  MemoryHost host(loop);
  OpenOptions options;
  options.writable = true;
  {
    const auto file = SyncWait(loop, host.CreateExclusive("/p.index", options)).value();
    SyncWait(loop, file->Write(0, bytes)).value();
  }
  IndexFile file(host, "/p.index", *header, {});
  uint32_t loaded = 0;
  for (uint32_t region = 0; region < header->regions; ++region) {
    const auto found = SyncWait(loop, file.Load(region)).value();
    if (!found) continue;
    Check(*found, header->layers);
    ++loaded;
  }
  std::vector<std::pair<uint32_t, IndexRegion>> built;
  built.emplace_back(0, IndexRegion());
  SyncWait(loop, file.Save(std::move(built))).value();
  uint32_t again = 0;
  for (uint32_t region = 1; region < header->regions; ++region) {
    if (SyncWait(loop, file.Load(region)).value()) ++again;
  }
  MICA_CHECK(again <= loaded);
  return 0;
}
