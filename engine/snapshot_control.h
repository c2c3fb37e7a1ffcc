// SPDX-License-Identifier: Apache-2.0
// SnapshotControl: states of a disk that its image keeps, the size of the disk, and what has
// changed since when.
#pragma once

namespace mica {

class SnapshotControl {
 public:
  SnapshotControl() = default;
  SnapshotControl(const SnapshotControl&) = delete;
  SnapshotControl& operator=(const SnapshotControl&) = delete;
  virtual ~SnapshotControl() = default;
};

}  // namespace mica
