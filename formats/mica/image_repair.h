// SPDX-License-Identifier: Apache-2.0
// Examining a mica image and repairing what was found. A repair changes the map and nothing else:
// slots of what was given up are not used again before the next walk has found them, and the new
// map is published as by any checkpoint, so a power cut leaves the image as it was or repaired.
#pragma once

#include "engine/io/host.h"
#include "formats/check.h"
#include "formats/mica/checker.h"

namespace mica::native {

struct Examination {
  CheckReport report;
  Damage damage;
  Superblock superblock;
  uint32_t position = 0;      // of that superblock
  bool copy_damaged = false;  // the other one
  uint64_t file_slots = 0;
};

Async<Examination> ExamineImage(Host& host, std::filesystem::path path, CheckOptions options);

// Does what options.repair allows about `found`, and tells it in `report`. kReadOnly for damage of
// a sealed image, of which only the second superblock can be restored.
Async<void> RepairImage(Host& host, std::filesystem::path path, CheckRepair repair,
                        const Examination& found, CheckReport& report);

}  // namespace mica::native
