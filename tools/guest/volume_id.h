// SPDX-License-Identifier: Apache-2.0
// How a volume of a disk is called: by people, in the names of files, and by the other disks of a
// rebase, which have the same volume under the same name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace mica::guest {

struct VolumeId {
  static constexpr uint32_t kOutside = UINT32_MAX;  // what is in no partition

  uint32_t partition = 0;  // 0: the disk as a whole, or a logical volume
  std::string logical;     // "group/volume" of LVM; empty: the partition itself

  // "2" or "group/volume", as it stands behind an image's name; empty for the whole disk.
  [[nodiscard]] std::string Text() const;
  // Empty when `text` names no partition and no logical volume.
  static std::optional<VolumeId> Parse(const std::string& text);
  [[nodiscard]] std::string Name() const;     // "partition 2", "the disk"
  [[nodiscard]] std::string FileKey() const;  // "p2", "p0", "lv-vg0-root"; no two have the same one
  friend bool operator==(const VolumeId&, const VolumeId&) = default;
};

}  // namespace mica::guest
