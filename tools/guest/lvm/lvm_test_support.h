// SPDX-License-Identifier: Apache-2.0
// For tests: LVM2 metadata made by hand. What the real LVM writes is judged in
// tests/e2e/lvm_test.py.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"

namespace mica::guest::testing {

// "root" of one segment on a disk: "segment1 { … }" and what stands around it.
struct SegmentText {
  int number = 1;
  uint64_t start = 0;  // extent of the volume
  uint64_t count = 0;
  std::string disk = "pv0";
  uint64_t first = 0;  // extent of the disk
  std::string type = "striped";
  int stripes = 1;
};
std::string VolumeText(std::string_view name, const std::vector<SegmentText>& segments);

// A group "vg0" with extents of 64 KiB, on disks pv0, pv1 … of 16 extents that start at 128 KiB.
// `volumes` is what VolumeText made.
std::string GroupText(int disks, std::string_view volumes, int version = 1);

// The id of disk `number` in GroupText, as a label has it.
std::string DiskId(int number);

// Puts a label, with metadata areas of 16 KiB at 4 KiB and at `bytes.size()` - 16 KiB, into a disk.
void PutLabel(Bytes disk, std::string_view id);
enum class Area : uint8_t { kFirst, kSecond };
// Puts a text into an area, `at` bytes behind the area's start; it goes on at the ring's start.
void PutText(Bytes disk, Area area, std::string_view text, size_t at = 512);

}  // namespace mica::guest::testing
