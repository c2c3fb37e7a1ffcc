// SPDX-License-Identifier: Apache-2.0
// One LVM2 physical volume: its label, and the metadata text that its metadata areas hold. Formats:
// label_header, pv_header, mda_header and raw_locn of LVM2's text format; little-endian, sectors of
// 512 bytes. Content is hostile: every size is bounded, every checksum verified.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

struct PhysicalVolume {
  std::string uuid;                       // 32 characters, without hyphens
  std::vector<ByteRange> metadata_areas;  // bytes of the volume
};

// Looks in the first four sectors, as LVM does. kCorrupt when none has a label whose checksum is
// right.
Result<PhysicalVolume> ReadPhysicalVolume(SyncDevice& device);

// The text that a metadata area holds now; empty when it holds none. kCorrupt when it is damaged.
Result<std::string> ReadMetadataText(SyncDevice& device, ByteRange area);

// The CRC-32 that LVM2 uses, with its own start value.
uint32_t LvmCrc(ConstBytes bytes);

}  // namespace mica::guest
