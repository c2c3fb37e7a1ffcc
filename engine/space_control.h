// SPDX-License-Identifier: Apache-2.0
// SpaceControl: what an image takes of the host, what it may take, and giving back what it need not
// keep. All numbers are bytes of the host unless the name says otherwise. Loop thread only; calls
// may overlap with everything else that is done to the layer.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/async/task.h"

namespace mica {

// 0: no limit. Past the soft limit there is an event; past the hard one writes that need more space
// fail with kNoSpace, while flush, trim, rewriting and closing go on.
struct SpaceQuota {
  uint64_t soft_bytes = 0;
  uint64_t hard_bytes = 0;
  friend bool operator==(const SpaceQuota&, const SpaceQuota&) = default;
};

struct SpaceUsage {
  uint64_t own_bytes = 0;       // blocks of the disk as it is now
  uint64_t snapshot_bytes = 0;  // what only snapshots keep
  uint64_t metadata_bytes = 0;  // maps, log, superblocks

  [[nodiscard]] uint64_t total_bytes() const noexcept {
    return own_bytes + snapshot_bytes + metadata_bytes;
  }
};

struct SpaceEvent {
  enum class Kind : uint8_t {
    kQuotaMark,  // `percent` of the hard quota is reached: 80, 90 or 95
    kSoftQuota,  // the soft quota is passed
    kNoSpace,    // a write was refused: the quota is used up, or the host is full
  };
  Kind kind = Kind::kQuotaMark;
  uint32_t percent = 0;
  uint64_t used_bytes = 0;
  uint64_t limit_bytes = 0;  // 0: the host's own
};

struct CompactProgress {
  uint64_t moved_bytes = 0;
  uint64_t total_bytes = 0;  // that were to be moved when it began
};

struct CompactReport {
  uint64_t moved_bytes = 0;
  uint64_t file_bytes_before = 0;
  uint64_t file_bytes_after = 0;
};

class SpaceControl {
 public:
  SpaceControl() = default;
  SpaceControl(const SpaceControl&) = delete;
  SpaceControl& operator=(const SpaceControl&) = delete;
  virtual ~SpaceControl() = default;

  // What counts towards the quota. Cheap.
  [[nodiscard]] virtual uint64_t used_bytes() const noexcept = 0;
  // Where it goes; reads the whole map.
  virtual Async<SpaceUsage> Usage() = 0;

  [[nodiscard]] virtual SpaceQuota quota() const noexcept = 0;
  // In force at once, durable when it succeeds. kInvalidArgument for a soft limit above the hard
  // one; kReadOnly.
  virtual Async<void> SetQuota(SpaceQuota quota) = 0;

  // Moves blocks from the end of the file into free places before it, and gives the end and holes
  // of at least 1 MiB back. Takes no more host space on the way than a checkpoint does. What
  // snapshots hold stays where it is. Stops at the first error, with what was moved kept.
  // `on_progress` may be empty; it is called often and must be quick.
  virtual Async<CompactReport> Compact(std::function<void(const CompactProgress&)> on_progress) = 0;

  // Called when a mark is passed upwards; it is armed again when usage has gone well below it. An
  // empty function ends it.
  virtual void OnEvent(std::function<void(const SpaceEvent&)> listener) = 0;
};

}  // namespace mica
