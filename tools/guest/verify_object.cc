// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/verify_object.h"

#include <fmt/core.h>

#include <algorithm>

#include "tools/guest/diff_content.h"

namespace mica::guest {
namespace {

void CompareAttributes(const Attributes& planned, const Attributes& found,
                       std::vector<std::string>& to) {
  const auto compare = [&to](std::string_view what, auto expected, auto actual) {
    if (expected != actual)
      to.push_back(fmt::format("{} {} instead of {}", what, actual, expected));
  };
  compare("mode", planned.mode, found.mode);
  compare("owner", planned.uid, found.uid);
  compare("group", planned.gid, found.gid);
  compare("flags", planned.flags, found.flags);
  compare("project", planned.project_id, found.project_id);
  compare("modification time (s)", planned.modified.seconds, found.modified.seconds);
  compare("modification time (ns)", planned.modified.nanoseconds, found.modified.nanoseconds);
  for (const auto& [name, value] : planned.xattrs) {
    const auto at = found.xattrs.find(name);
    if (at == found.xattrs.end()) {
      to.push_back(fmt::format("attribute {} is missing", name));
    } else if (at->second != value) {
      to.push_back(fmt::format("attribute {} has another value", name));
    }
  }
  for (const auto& [name, value] : found.xattrs) {
    if (!planned.xattrs.contains(name)) to.push_back(fmt::format("attribute {} is new", name));
  }
}

// Both sorted, `allowed` merged.
bool LiesInside(const std::vector<ByteRange>& ranges, const std::vector<ByteRange>& allowed) {
  return std::ranges::all_of(ranges, [&](const ByteRange& range) {
    const auto outer = std::ranges::upper_bound(allowed, range.offset, {}, &ByteRange::end);
    return outer != allowed.end() && outer->offset <= range.offset && range.end() <= outer->end();
  });
}

class ContentCheck {
 public:
  ContentCheck(const ObjectCheck& check, Volume& result, Volume& ours)
      : check_(check), result_(result), ours_(ours) {}

  Result<std::vector<std::string>> Run() {
    TRY(std::visit([this](const auto& content) { return Check(content); }, check_.planned.content));
    return std::move(differences_);
  }

 private:
  Result<void> Check(const KeepContent& /*content*/) {
    if (check_.was_in_target) {
      if (check_.change != nullptr && check_.change->content_changed) Add("its content changed");
    } else if (check_.found.size != 0) {
      Add(fmt::format("{} bytes, and should be empty", check_.found.size));
    }
    return {};
  }

  Result<void> Check(const MergedContent& content) {
    if (!HasSize(content.bytes.size())) return {};
    ASSIGN(const std::string bytes,
           ReadWhole(result_, check_.found.id.inode, content.bytes.size()));
    if (bytes != content.bytes) Add("its content is not the merged one");
    return {};
  }

  Result<void> Check(const OursContent& content) {
    ASSIGN(const Object source, ours_.Stat(content.inode));
    if (!HasSize(source.size)) return {};
    std::vector<ByteRange> compared;
    if (content.ranges && check_.was_in_target) {
      compared = AlignToGrains(*content.ranges, source.size);
      if (check_.change != nullptr && !LiesInside(check_.change->content_ranges, compared)) {
        Add("its content changed outside the planned ranges");
      }
    } else {
      ASSIGN(compared, ours_.StoredRanges(content.inode));
      ASSIGN(const auto stored, result_.StoredRanges(check_.found.id.inode));
      compared.insert(compared.end(), stored.begin(), stored.end());
    }
    const FileVersion from{ours_, content.inode, source.size};
    const FileVersion to{result_, check_.found.id.inode, check_.found.size};
    ASSIGN(const std::vector<ByteRange> differing, DifferingContent(from, to, compared));
    for (const ByteRange& range : differing) {
      Add(fmt::format("bytes {}+{} are not those of the VM", range.offset, range.length));
    }
    return {};
  }

  bool HasSize(uint64_t expected) {
    if (check_.found.size == expected) return true;
    Add(fmt::format("{} bytes instead of {}", check_.found.size, expected));
    return false;
  }

  void Add(std::string what) { differences_.push_back(std::move(what)); }

  const ObjectCheck& check_;
  Volume& result_;
  Volume& ours_;
  std::vector<std::string> differences_;
};

}  // namespace

Result<std::vector<std::string>> CheckObject(const ObjectCheck& check, Volume& result,
                                             Volume& ours) {
  std::vector<std::string> differences;
  const PlannedObject& planned = check.planned;
  if (check.found.kind != planned.kind) {
    differences.push_back("it is of another kind");
    return differences;
  }
  CompareAttributes(planned.attributes, check.found.attributes, differences);
  const bool directory = planned.kind == ObjectKind::kDirectory;
  if (!directory && check.found.link_count != planned.names.size()) {
    differences.push_back(
        fmt::format("counts {} names instead of {}", check.found.link_count, planned.names.size()));
  }
  if (planned.kind == ObjectKind::kSymlink &&
      check.found.symlink_target != planned.symlink_target) {
    differences.push_back(fmt::format("leads to '{}'", check.found.symlink_target));
  }
  if (check.found.device_major != planned.device_major ||
      check.found.device_minor != planned.device_minor) {
    differences.push_back(
        fmt::format("is device {}:{}", check.found.device_major, check.found.device_minor));
  }
  if (planned.kind == ObjectKind::kRegular) {
    ASSIGN(std::vector<std::string> content, ContentCheck(check, result, ours).Run());
    std::ranges::move(content, std::back_inserter(differences));
  }
  return differences;
}

}  // namespace mica::guest
