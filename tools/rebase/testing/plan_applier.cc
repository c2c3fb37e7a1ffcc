// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/testing/plan_applier.h"

#include <fmt/format.h>

#include <vector>

namespace mica::rebase {
namespace {

using guest::PlannedObject;

class Applier {
 public:
  Applier(const guest::Plan& plan, const FakeTree& ours, const FakeTree& theirs)
      : plan_(plan), ours_(ours), tree_(theirs) {}

  Result<FakeTree> Run() {
    TRY(Place());
    for (size_t i = 0; i < plan_.objects.size(); ++i) {
      TRY(Detach(plan_.objects[i], inodes_[i]));
    }
    for (size_t i = 0; i < plan_.objects.size(); ++i) {
      TRY(Attach(plan_.objects[i], inodes_[i]));
    }
    for (size_t i = 0; i < plan_.objects.size(); ++i) {
      TRY(Fill(plan_.objects[i], inodes_[i]));
    }
    TRY(Check());
    return tree_;
  }

 private:
  Result<void> Place() {
    for (const PlannedObject& object : plan_.objects) {
      if (object.target_inode && !tree_.objects().contains(*object.target_inode)) {
        return Error{Errc::kCorrupt, "target inode does not exist"};
      }
      inodes_.push_back(object.target_inode ? *object.target_inode : tree_.Create(object.kind));
      const bool same_kind = tree_.At(inodes_.back()).object.kind == object.kind;
      if (!same_kind) return Error{Errc::kCorrupt, "target has another kind"};
    }
    return {};
  }

  Result<void> Detach(const PlannedObject& object, uint64_t inode) {
    if (!object.target_inode || inode == FakeTree::kRoot) return {};
    for (auto& item : tree_.objects()) {
      std::erase_if(item.second.entries, [&](const auto& entry) { return entry.second == inode; });
    }
    tree_.objects().at(inode).object.link_count = 0;
    return {};
  }

  Result<void> Attach(const PlannedObject& object, uint64_t inode) {
    if (inode == FakeTree::kRoot) return {};
    for (const guest::PlannedName& name : object.names) {
      const bool planned = name.parent.kind == guest::DirectoryRef::Kind::kPlannedObject;
      if (planned && name.parent.value >= inodes_.size()) {
        return Error{Errc::kCorrupt, "parent index out of range"};
      }
      const uint64_t parent = planned ? inodes_[name.parent.value] : name.parent.value;
      const auto directory = tree_.objects().find(parent);
      if (directory == tree_.objects().end() ||
          directory->second.object.kind != guest::ObjectKind::kDirectory) {
        return Error{Errc::kCorrupt, fmt::format("{}: parent is no directory", name.leaf)};
      }
      if (!directory->second.entries.emplace(name.leaf, inode).second) {
        return Error{Errc::kCorrupt, fmt::format("{}: name is taken", name.leaf)};
      }
      ++tree_.objects().at(inode).object.link_count;
    }
    return {};
  }

  Result<void> Fill(const PlannedObject& planned, uint64_t inode) {
    FakeObject& object = tree_.objects().at(inode);
    object.object.attributes = planned.attributes;
    object.object.symlink_target = planned.symlink_target;
    if (const auto* merged = std::get_if<guest::MergedContent>(&planned.content)) {
      object.content = merged->bytes;
    } else if (const auto* ours = std::get_if<guest::OursContent>(&planned.content)) {
      const std::string& source = ours_.At(ours->inode).content;
      if (ours->ranges) {
        object.content.resize(source.size());
        for (const ByteRange& range : *ours->ranges) {
          object.content.replace(range.offset, range.length,
                                 source.substr(range.offset, range.length));
        }
      } else {
        object.content = source;
      }
    }
    object.object.size = object.content.size();
    return {};
  }

  Result<void> Check() {
    const auto names = tree_.Names();
    std::vector<uint64_t> gone;
    for (const auto& [inode, object] : tree_.objects()) {
      if (names.contains(inode)) continue;
      if (object.object.link_count > 0) {
        return Error{Errc::kCorrupt, fmt::format("inode {} is cut off from the root", inode)};
      }
      if (!object.entries.empty()) {
        return Error{Errc::kCorrupt,
                     fmt::format("{} is lost with its directory", object.entries.begin()->first)};
      }
      gone.push_back(inode);
    }
    for (const uint64_t inode : gone) tree_.objects().erase(inode);
    return {};
  }

  const guest::Plan& plan_;
  const FakeTree& ours_;
  FakeTree tree_;
  std::vector<uint64_t> inodes_;
};

}  // namespace

Result<FakeTree> ApplyPlan(const guest::Plan& plan, const FakeTree& ours, const FakeTree& theirs) {
  return Applier(plan, ours, theirs).Run();
}

}  // namespace mica::rebase
