// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/lvm/lvm_test_support.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/lvm/physical_volume.h"

namespace mica::guest::testing {

namespace {

constexpr size_t kAreaBytes = 16 << 10;
constexpr size_t kHeaderBytes = 512;

size_t StartOf(Bytes disk, Area area) {
  return area == Area::kFirst ? 4096 : disk.size() - kAreaBytes;
}

void PutString(Bytes bytes, size_t at, std::string_view text) {
  std::ranges::copy(AsBytes(text), bytes.begin() + static_cast<ptrdiff_t>(at));
}

void PutNumber(Bytes bytes, size_t at, uint64_t value) {
  StoreLe<uint64_t>(bytes, at, value);
}

}  // namespace

std::string VolumeText(std::string_view name, const std::vector<SegmentText>& segments) {
  std::string text =
      fmt::format("{} {{\nid = \"x\"\nstatus = [\"READ\", \"VISIBLE\"]\nsegment_count = {}\n", name,
                  segments.size());
  for (const SegmentText& segment : segments) {
    text += fmt::format(
        "segment{} {{\nstart_extent = {}\nextent_count = {}\ntype = \"{}\"\nstripe_count = {}\t# "
        "linear\nstripes = [\n\"{}\", {}\n]\n}}\n",
        segment.number, segment.start, segment.count, segment.type, segment.stripes, segment.disk,
        segment.first);
  }
  return text + "}\n";
}

std::string DiskId(int number) {
  return fmt::format("{:032}", number);
}

std::string GroupText(int disks, std::string_view volumes, int version) {
  std::string text = fmt::format(
      "vg0 {{\nid = \"group\"\nseqno = {}\nformat = \"lvm2\"\nflags = []\nextent_size = "
      "128\n\nphysical_volumes {{\n",
      version);
  for (int number = 0; number < disks; ++number) {
    text += fmt::format("pv{} {{\nid = \"{}\"\npe_start = 256\npe_count = 16\n}}\n", number,
                        DiskId(number));
  }
  text += fmt::format("}}\nlogical_volumes {{\n{}}}\n}}\n", volumes);
  return text + "contents = \"Text Format Volume Group\"\nversion = 1\n";
}

void PutLabel(Bytes disk, std::string_view id) {
  const Bytes sector = disk.subspan(512, 512);
  PutString(sector, 0, "LABELONE");
  PutNumber(sector, 8, 1);
  StoreLe<uint32_t>(sector, 20, 32);
  PutString(sector, 24, "LVM2 001");
  PutString(sector, 32, id);
  PutNumber(sector, 64, disk.size());
  PutNumber(sector, 72, 131072);  // where data begins, to the end
  size_t at = 104;                // behind a pair of zeroes
  for (const Area area : {Area::kFirst, Area::kSecond}) {
    PutNumber(sector, at, StartOf(disk, area));
    PutNumber(sector, at + 8, kAreaBytes);
    at += 16;
  }
  StoreLe<uint32_t>(sector, 16, LvmCrc(sector.subspan(20)));
  for (const Area area : {Area::kFirst, Area::kSecond}) PutText(disk, area, "");
}

void PutText(Bytes disk, Area area, std::string_view text, size_t at) {
  const size_t start = StartOf(disk, area);
  const Bytes bytes = disk.subspan(start, kAreaBytes);
  const Bytes header = bytes.first(kHeaderBytes);
  FillZero(header);
  PutString(header, 4, "\x20LVM2\x20x[5A%r0N*>");
  StoreLe<uint32_t>(header, 20, 1);
  PutNumber(header, 24, start);
  PutNumber(header, 32, kAreaBytes);
  if (!text.empty()) {
    const size_t first = std::min(text.size(), kAreaBytes - at);
    PutString(bytes, at, text.substr(0, first));
    PutString(bytes, kHeaderBytes, text.substr(first));
    PutNumber(header, 40, at);
    PutNumber(header, 48, text.size());
    StoreLe<uint32_t>(header, 56, LvmCrc(AsBytes(text)));
  }
  StoreLe<uint32_t>(header, 0, LvmCrc(header.subspan(4)));
}

}  // namespace mica::guest::testing
