// SPDX-License-Identifier: Apache-2.0
// LVM2 metadata as a guest may have it. The first byte says what follows: the text of a volume
// group, or the start of a physical volume.
#include <cstdint>
#include <span>

#include "engine/async/memory_loop.h"
#include "tests/support/memory_device.h"
#include "tools/guest/lvm/logical_volumes.h"
#include "tools/guest/lvm/volume_group.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const ConstBytes bytes = std::as_bytes(std::span(data, size)).subspan(1);
  if (data[0] == 't') {
    static_cast<void>(guest::ParseVolumeGroup(AsText(bytes)));
    return 0;
  }
  constexpr uint64_t kDiskBytes = 2 << 20;
  if (bytes.size() > kDiskBytes) return 0;
  MemoryLoop loop;
  testing::MemoryDevice disk(kDiskBytes);
  std::ranges::copy(bytes, disk.bytes.begin());
  guest::SyncDevice sync(loop, disk);
  const auto read = guest::ReadLogicalVolumes(sync, {{0, kDiskBytes}});
  if (!read) __builtin_trap();  // a disk in memory has no errors
  for (const guest::LogicalVolume& volume : read->volumes) {
    for (const ByteRange& piece : volume.pieces) {
      if (!FitsInside(piece, kDiskBytes)) __builtin_trap();
    }
  }
  return 0;
}
