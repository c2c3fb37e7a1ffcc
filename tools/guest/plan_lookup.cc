// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/plan_lookup.h"

#include <optional>

namespace mica::guest {

namespace {

class Finder {
 public:
  Finder(const Plan& plan, Volume& result)
      : plan_(plan), result_(result), found_(plan.objects.size()), begun_(plan.objects.size()) {}

  Result<std::vector<uint64_t>> Run() {
    std::vector<uint64_t> inodes;
    for (size_t i = 0; i < plan_.objects.size(); ++i) {
      ASSIGN(const uint64_t inode, Find(i));
      inodes.push_back(inode);
    }
    return inodes;
  }

 private:
  // As deep as directories are nested.
  Result<uint64_t> Find(size_t i) {
    if (found_[i]) return *found_[i];
    const PlannedObject& object = plan_.objects.at(i);
    // A plan without cycles never comes back to an object it has begun.
    if (begun_[i]) return Error{Errc::kInvalidArgument, "a plan of directories in a circle"};
    begun_[i] = true;
    if (object.target_inode == result_.root()) found_[i] = result_.root();
    for (const PlannedName& name : object.names) {
      if (found_[i]) break;
      TRY(FindByName(name, found_[i]));
    }
    if (!found_[i]) found_[i] = 0;
    return *found_[i];
  }

  Result<void> FindByName(const PlannedName& name, std::optional<uint64_t>& found) {
    uint64_t parent = name.parent.value;
    if (name.parent.kind == DirectoryRef::Kind::kPlannedObject) {
      ASSIGN(parent, Find(name.parent.value));
    }
    if (parent == 0) return {};
    // What was a directory may have become something else.
    Result<std::optional<uint64_t>> inode = result_.LookupIn(parent, name.leaf);
    if (inode) found = *inode;
    return {};
  }

  const Plan& plan_;
  Volume& result_;
  std::vector<std::optional<uint64_t>> found_;
  std::vector<bool> begun_;
};

}  // namespace

Result<std::vector<uint64_t>> FindPlanned(const Plan& plan, Volume& result) {
  return Finder(plan, result).Run();
}

}  // namespace mica::guest
