// SPDX-License-Identifier: Apache-2.0
#include "engine/io/simulated_disk.h"

#include <algorithm>
#include <filesystem>

#include "engine/base/prng.h"

namespace mica {

std::shared_ptr<SimulatedFile> SimulatedDisk::Find(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second;
}

bool SimulatedDisk::IsDirectory(const std::string& name) const {
  if (name.empty() || name == "/") return true;
  const auto below = names_.lower_bound(name + "/");
  return below != names_.end() && below->first.starts_with(name + "/");
}

std::vector<std::string> SimulatedDisk::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : names_) names.push_back(name);
  return names;
}

void SimulatedDisk::Apply(const NameChange& change, Names& names) {
  if (!change.removed.empty()) names.erase(change.removed);
  if (!change.added.empty()) names[change.added] = change.file;
}

std::shared_ptr<SimulatedFile> SimulatedDisk::Create(const std::string& name) {
  auto file = std::make_shared<SimulatedFile>(meter_);
  unsynced_.push_back({"", name, file});
  Apply(unsynced_.back(), names_);
  return file;
}

void SimulatedDisk::Rename(const std::string& from, const std::string& to) {
  if (names_.at(from) == Find(to)) return;  // two names of one file: POSIX leaves both
  unsynced_.push_back({from, to, names_.at(from)});
  Apply(unsynced_.back(), names_);
}

void SimulatedDisk::Link(const std::string& existing, const std::string& name) {
  unsynced_.push_back({"", name, names_.at(existing)});
  Apply(unsynced_.back(), names_);
}

void SimulatedDisk::Remove(const std::string& name) {
  unsynced_.push_back({name, "", names_.at(name)});
  Apply(unsynced_.back(), names_);
}

namespace {

std::string ParentOf(const std::string& name) {
  return std::filesystem::path(name).parent_path().string();
}

}  // namespace

void SimulatedDisk::SyncDirectory(const std::string& directory) {
  // A rename is durable with the directory it goes to, and takes with it what was done to the same
  // file before: a file never ends up under two names.
  std::vector<const SimulatedFile*> covered;
  std::vector<bool> durable(unsynced_.size(), false);
  for (size_t i = unsynced_.size(); i-- > 0;) {
    const NameChange& change = unsynced_[i];
    const std::string& name = change.added.empty() ? change.removed : change.added;
    const bool earlier_half = std::ranges::find(covered, change.file.get()) != covered.end();
    if (ParentOf(name) != directory && !earlier_half) continue;
    covered.push_back(change.file.get());
    durable[i] = true;
  }
  std::vector<NameChange> still_unsynced;
  for (size_t i = 0; i < unsynced_.size(); ++i) {
    if (durable[i]) {
      Apply(unsynced_[i], durable_names_);
    } else {
      still_unsynced.push_back(std::move(unsynced_[i]));
    }
  }
  unsynced_ = std::move(still_unsynced);
}

SimulatedDisk::Names SimulatedDisk::NamesAfterPowerCut(const PowerCutPolicy& policy) const {
  Names names = durable_names_;
  Prng prng(policy.seed ^ 0x6e616d6573ULL);
  const uint64_t in_order_end = prng.Below(unsynced_.size() + 1);
  for (size_t i = 0; i < unsynced_.size(); ++i) {
    bool arrived = false;
    switch (policy.kind) {
      case PowerCutKind::kKeepAll:
        arrived = true;
        break;
      case PowerCutKind::kLoseAll:
        break;
      case PowerCutKind::kInOrder:
      case PowerCutKind::kSectors:
        arrived = i < in_order_end;
        break;
      case PowerCutKind::kReorder:
        arrived = prng.OneIn(2);
        break;
    }
    if (arrived) Apply(unsynced_[i], names);
  }
  return names;
}

SimulatedDisk SimulatedDisk::AfterPowerCut(const PowerCutPolicy& policy) const {
  SimulatedDisk disk;
  disk.meter_->limit_pages = meter_->limit_pages;
  std::map<const SimulatedFile*, std::shared_ptr<SimulatedFile>> survivors;
  uint64_t salt = 0;
  for (const auto& [name, file] : NamesAfterPowerCut(policy)) {
    ++salt;
    std::shared_ptr<SimulatedFile>& survivor = survivors[file.get()];
    if (survivor == nullptr) {
      survivor = std::make_shared<SimulatedFile>(disk.meter_, file->AfterPowerCut(policy, salt));
      survivor->modified_ns = file->modified_ns;
    }
    disk.names_[name] = survivor;
  }
  disk.durable_names_ = disk.names_;
  return disk;
}

std::string DiskName(const std::string& path) {
  std::string name = std::filesystem::path(path).lexically_normal().string();
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  return name == "." ? std::string() : name;
}

}  // namespace mica
