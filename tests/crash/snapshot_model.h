// SPDX-License-Identifier: Apache-2.0
// SnapshotModel: which snapshots an image may have after a power cut, and what may be in them: for
// each block a version that was complete when the snapshot was asked for, or a later one that was
// begun before it was done.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "tests/crash/disk_model.h"

namespace mica::testing {

class SnapshotModel {
 public:
  struct Kept {
    DiskModel::Snapshot from;               // versions
    std::optional<DiskModel::Snapshot> to;  // not yet: any that was begun until now
    bool certain = false;                   // it was made; otherwise it may exist or not
    bool busy = false;                      // somebody is making or deleting it
  };

  void BeginCreate(const std::string& name, const DiskModel& disk);
  void EndCreate(const std::string& name, const DiskModel& disk, bool done);
  void BeginDelete(const std::string& name);
  void EndDelete(const std::string& name, bool done);
  // It was looked, and these are durable: exactly `names`.
  void Resolve(const std::vector<std::string>& names);

  [[nodiscard]] const std::map<std::string, Kept>& all() const noexcept { return all_; }
  [[nodiscard]] bool Accepts(const DiskModel& disk, const std::string& name, uint64_t block,
                             ConstBytes content) const;

 private:
  std::map<std::string, Kept> all_;
};

}  // namespace mica::testing
