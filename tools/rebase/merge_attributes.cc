// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/merge_attributes.h"

#include <algorithm>
#include <set>

#include "tools/rebase/mergers/three_way.h"
#include "tools/rebase/posix_acl.h"

namespace mica::rebase {
namespace {

using guest::Attributes;

class Merge {
 public:
  Merge(const AttributeVersions& versions, MetaMerge rule)
      // Without a base nothing can be said to be unchanged: ours gives way, as an equal file's
      // would.
      : base_(versions.base != nullptr ? *versions.base : versions.ours),
        ours_(versions.ours),
        theirs_(versions.theirs),
        rule_(rule) {}

  AttributeMerge Run(ContentSource content) {
    out_.attributes.mode = Field("mode", &Attributes::mode);
    out_.attributes.uid = Field("owner", &Attributes::uid);
    out_.attributes.gid = Field("group", &Attributes::gid);
    out_.attributes.flags = Field("flags", &Attributes::flags);
    out_.attributes.project_id = Field("project", &Attributes::project_id);
    Xattrs();
    out_.attributes.modified = Modified(content);
    const auto acl = out_.attributes.xattrs.find(std::string(kAccessAcl));
    if (acl != out_.attributes.xattrs.end()) {
      acl->second = FitAclToMode(acl->second, out_.attributes.mode);
    }
    return std::move(out_);
  }

 private:
  template <class Value>
  Value Choose(const char* name, const Value& base, const Value& ours, const Value& theirs) {
    if (const auto merged = ThreeWay(base, ours, theirs)) return *merged;
    if (rule_ == MetaMerge::kMerge) out_.conflicts.emplace_back(name);
    return rule_ == MetaMerge::kTheirs ? theirs : ours;
  }

  uint32_t Field(const char* name, uint32_t Attributes::* field) {
    return Choose(name, base_.*field, ours_.*field, theirs_.*field);
  }

  void Xattrs() {
    std::set<std::string> names;
    for (const Attributes* version : {&ours_, &theirs_}) {
      for (const auto& item : version->xattrs) names.insert(item.first);
    }
    auto get = [](const Attributes& version, const std::string& name) {
      const auto at = version.xattrs.find(name);
      return at == version.xattrs.end() ? std::optional<std::string>() : at->second;
    };
    for (const std::string& name : names) {
      const auto value =
          Choose(name.c_str(), get(base_, name), get(ours_, name), get(theirs_, name));
      if (value) out_.attributes.xattrs.emplace(name, *value);
    }
  }

  guest::Timestamp Modified(ContentSource content) {
    switch (content) {
      case ContentSource::kOurs:
        return ours_.modified;
      case ContentSource::kMerged:
        return std::max(ours_.modified, theirs_.modified);
      case ContentSource::kTheirs:
        break;
    }
    // Also what neither side changed: then a time that only ours set is ours.
    return theirs_.modified == base_.modified ? ours_.modified : theirs_.modified;
  }

  const Attributes& base_;
  const Attributes& ours_;
  const Attributes& theirs_;
  MetaMerge rule_;
  AttributeMerge out_;
};

}  // namespace

AttributeMerge MergeAttributes(const AttributeVersions& versions, ContentSource content,
                               MetaMerge rule) {
  return Merge(versions, rule).Run(content);
}

void RenumberOwners(Attributes& ours, const Attributes* base, const IdMap& ids) {
  if (ids.empty()) return;
  if (base == nullptr || base->uid != ours.uid) ours.uid = ids.User(ours.uid);
  if (base == nullptr || base->gid != ours.gid) ours.gid = ids.Group(ours.gid);
  for (const std::string_view name : {kAccessAcl, kDefaultAcl}) {
    const auto acl = ours.xattrs.find(std::string(name));
    if (acl == ours.xattrs.end()) continue;
    if (base != nullptr) {
      const auto before = base->xattrs.find(acl->first);
      if (before != base->xattrs.end() && before->second == acl->second) continue;
    }
    acl->second = RenumberAcl(acl->second, ids);
  }
}

}  // namespace mica::rebase
