// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/snapshot_model.h"

#include <algorithm>

namespace mica::testing {

void SnapshotModel::BeginCreate(const std::string& name, const DiskModel& disk) {
  Kept kept;
  kept.from = disk.Completed();
  kept.busy = true;
  all_.emplace(name, std::move(kept));
}

void SnapshotModel::EndCreate(const std::string& name, const DiskModel& disk, bool done) {
  Kept& kept = all_.at(name);
  kept.to = disk.Begun();
  kept.certain = done;
  kept.busy = false;
}

void SnapshotModel::BeginDelete(const std::string& name) {
  Kept& kept = all_.at(name);
  kept.certain = false;
  kept.busy = true;
}

void SnapshotModel::EndDelete(const std::string& name, bool done) {
  if (done) {
    all_.erase(name);
  } else {
    all_.at(name).busy = false;
  }
}

void SnapshotModel::Resolve(const std::vector<std::string>& names) {
  std::erase_if(
      all_, [&](const auto& item) { return std::ranges::find(names, item.first) == names.end(); });
  for (auto& [name, kept] : all_) kept.certain = true;
}

bool SnapshotModel::Accepts(const DiskModel& disk, const std::string& name, uint64_t block,
                            ConstBytes content) const {
  const Kept& kept = all_.at(name);
  const size_t to = kept.to ? kept.to->at(block) : disk.Begun().at(block);
  return disk.HadBetween(block, content, kept.from.at(block), to);
}

}  // namespace mica::testing
