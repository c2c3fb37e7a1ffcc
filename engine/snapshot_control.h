// SPDX-License-Identifier: Apache-2.0
// SnapshotControl: states of a disk that its image keeps, the size of the disk, and what has
// changed since when. Reached through Layer::controls(); loop thread only.
//
// An epoch is a number that advances with every checkpoint of the image, and with every snapshot.
// Each block remembers the epoch of its last change, also across crashes, so what has changed since
// a snapshot or a checkpoint is answered from the map alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/async/task.h"
#include "engine/base/range.h"

namespace mica {

struct SnapshotInfo {
  uint32_t id = 0;  // of the snapshots there are, no two have the same
  std::string name;
  uint64_t created = 0;       // seconds since 1970
  uint64_t virtual_size = 0;  // bytes
  uint32_t epoch = 0;         // of the newest change it holds
  friend bool operator==(const SnapshotInfo&, const SnapshotInfo&) = default;
};

inline constexpr size_t kSnapshotNameMax = 255;  // bytes

class SnapshotControl {
 public:
  SnapshotControl() = default;
  SnapshotControl(const SnapshotControl&) = delete;
  SnapshotControl& operator=(const SnapshotControl&) = delete;
  virtual ~SnapshotControl() = default;

  // The oldest first.
  virtual Async<std::vector<SnapshotInfo>> List() = 0;

  // Keeps the disk as it is: every write that was acknowledged before the call is in it, and it is
  // durable when the call succeeds. Reads and writes go on meanwhile. No data is copied.
  // kExists: there is one of this name; kInvalidArgument: not 1 to 255 bytes of UTF-8, or it has
  // control characters or '/'; kLimit: too many; kReadOnly.
  virtual Async<SnapshotInfo> Create(std::string name) = 0;

  // Forgets it; nothing is copied or merged, and a full host is no obstacle. Reads and writes go on
  // meanwhile. Its space is found when room is needed next. kNotFound, kReadOnly.
  virtual Async<void> Delete(std::string name) = 0;

  // The disk becomes what the snapshot holds, its size too; the snapshot stays. What was written
  // since, and is in no other snapshot, is gone. Nothing may be in flight, and afterwards the layer
  // only accepts Close. kNotFound, kReadOnly.
  virtual Async<void> Revert(std::string name) = 0;

  // A larger disk reads zero in its new part. Goes on beside reads and writes, but for writes to
  // the last block of the old size, which the caller keeps away. `bytes` is a multiple of
  // LayerInfo::cluster_bytes; kInvalidArgument also when the size now is not, and the last block is
  // the parent's: write it first. kLimit: the format has no such size.
  virtual Async<void> Grow(uint64_t bytes) = 0;

  // What lies beyond `bytes`, a multiple of cluster_bytes, is gone (snapshots keep theirs); when
  // the disk grows again it reads zero, whatever the parent has there. Nothing may be in flight,
  // and afterwards the layer only accepts Close.
  virtual Async<void> Shrink(uint64_t bytes) = 0;

  // Of the last checkpoint: later changes have later epochs. (What the log holds beyond that
  // checkpoint has too, and will be named as changed since.)
  [[nodiscard]] virtual uint32_t Epoch() const noexcept = 0;

  // The parts of `range` that may have changed after `epoch` ended, in order, neighbours merged.
  // Every block that was written, trimmed or came into being since is in them; what is published
  // now counts, durable or not. kInvalidArgument: that epoch is still to come; kMismatch: it was
  // undone by a revert, so only a full copy helps.
  virtual Async<std::vector<ByteRange>> ChangedSince(uint32_t epoch, ByteRange range) = 0;
};

}  // namespace mica
