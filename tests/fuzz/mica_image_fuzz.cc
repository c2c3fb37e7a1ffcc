// SPDX-License-Identifier: Apache-2.0
// A whole mica file: opened for reading and for writing, read, written, checked and closed. The
// superblocks' checksums are made right. Only what is cheap to read is read: the first megabyte.
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/image_chain.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"

namespace {

using namespace mica;  // NOLINT(google-build-using-namespace)

constexpr size_t kSlot = 4096;

void MakeFile(MemoryHost& host, std::vector<std::byte> bytes) {
  for (size_t at = 0; at + kSlot <= std::min(bytes.size(), 2 * kSlot); at += kSlot) {
    const Bytes block = Bytes(bytes).subspan(at, kSlot);
    StoreLe<uint64_t>(block, kSlot - 8, XXH64(block.data(), kSlot - 8, 0));
  }
  OpenOptions options;
  options.writable = true;
  const auto file = SyncWait(host.loop(), host.CreateExclusive("/d", options)).value();
  static_cast<void>(SyncWait(host.loop(), file->Write(0, bytes)));
}

void Use(MemoryHost& host, bool writable) {
  const MicaFormat format;
  LayerOpenOptions options;
  options.writable = writable;
  options.lock = writable ? FileLock::kExclusive : FileLock::kShared;
  Result<std::unique_ptr<Layer>> layer = SyncWait(host.loop(), format.Open(host, "/d", options));
  if (!layer) return;
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(*std::move(layer));
  ImageChain chain(host.loop(), std::move(layers));
  std::vector<std::byte> data(std::min<uint64_t>(chain.info().size, 1 << 20));
  static_cast<void>(SyncWait(host.loop(), chain.Read(0, data)));
  if (writable && data.size() > 10'000) {
    const ConstBytes some = ConstBytes(data).first(10'000);
    static_cast<void>(SyncWait(host.loop(), chain.Write(5, some, Durability::kForced)));
    static_cast<void>(SyncWait(host.loop(), chain.Discard({0, 8192}, Durability::kVolatile)));
  }
  static_cast<void>(SyncWait(host.loop(), chain.Close()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  MemoryLoop loop;
  MemoryHost host(loop);
  // A crafted size or slot number must not make the simulated disk large.
  host.disk().SetSpaceLimit(uint64_t{64} << 20);
  MakeFile(host, {input.begin(), input.end()});
  Use(host, false);
  Use(host, true);
  loop.RunUntil([&loop] { return loop.spawned_tasks() == 0; });
  return 0;
}
