// SPDX-License-Identifier: Apache-2.0
// A whole packed image: opened, mapped, read and checked. The hashes of headers and table pages are
// made right, so that what they protect is reached. Only what is cheap is read.
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/chunk_cache.h"
#include "engine/digest.h"
#include "engine/image_chain.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/packed/packed_layer.h"
#include "formats/mica/packed/table_page.h"

namespace {

using namespace mica;  // NOLINT(google-build-using-namespace)
using packed::kPageBytes;

// Makes the hashes of a page and of those it names right. `budget`: pages still to be looked at.
uint64_t FixPage(std::vector<std::byte>& file, uint64_t page, uint32_t level, int& budget) {
  if (page >= file.size() / kPageBytes || --budget < 0) return 0;
  const Bytes bytes = Bytes(file).subspan(page * kPageBytes, kPageBytes);
  const uint32_t count = std::min<uint32_t>(LoadLe<uint16_t>(bytes, 2), 170);
  for (uint32_t i = 0; level > 0 && i < count; ++i) {
    const size_t record = 16 + i * 24;
    const uint64_t child = LoadLe<uint64_t>(bytes, record + 8);
    StoreLe<uint64_t>(bytes, record + 16, FixPage(file, child, level - 1, budget));
  }
  return DigestBlock(bytes);
}

void FixHashes(std::vector<std::byte>& file) {
  if (file.size() < kPageBytes) return;
  int budget = 200;
  const Bytes header = Bytes(file).first(kPageBytes);
  for (const size_t root : {size_t{96}, size_t{224}}) {
    const uint32_t levels = LoadLe<uint32_t>(header, root + 16);
    if (levels == 0 || levels > packed::kTableLevelsMax) continue;
    const uint64_t page = LoadLe<uint64_t>(header, root);
    StoreLe<uint64_t>(header, root + 8, FixPage(file, page, levels - 1, budget));
  }
  StoreLe<uint64_t>(header, kPageBytes - 8, XXH64(header.data(), kPageBytes - 8, 0));
}

void Use(MemoryHost& host) {
  const MicaFormat format;
  const LayerOpenOptions options;
  Result<std::unique_ptr<Layer>> layer = SyncWait(host.loop(), format.Open(host, "/p", options));
  if (!layer) return;
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(*std::move(layer));
  ImageChain chain(host.loop(), std::move(layers));
  const uint64_t size = chain.info().size;
  std::vector<std::byte> data(std::min<uint64_t>(size, 1 << 20));
  static_cast<void>(SyncWait(host.loop(), chain.Read(0, data)));
  static_cast<void>(SyncWait(host.loop(), chain.Read(size - data.size(), data)));
  const ByteRange some{0, std::min<uint64_t>(size, 64 << 20)};
  static_cast<void>(SyncWait(host.loop(), chain.Status(some, 1000)));
  static_cast<void>(SyncWait(host.loop(), chain.Close()));
  if (size > 64 << 20) return;  // takes as long as the disk is large
  for (const CheckScope scope : {CheckScope::kMetadata, CheckScope::kMetadataAndData}) {
    static_cast<void>(SyncWait(host.loop(), format.Check(host, "/p", scope)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  std::vector<std::byte> bytes(input.begin(), input.end());
  FixHashes(bytes);
  ChunkCache::OfProcess().SetBytesMax(0);
  MemoryLoop loop;
  MemoryHost host(loop);
  host.disk().SetSpaceLimit(uint64_t{64} << 20);
  OpenOptions options;
  options.writable = true;
  {
    const auto file = SyncWait(loop, host.CreateExclusive("/p", options)).value();
    static_cast<void>(SyncWait(loop, file->Write(0, bytes)));
  }
  Use(host);
  return 0;
}
