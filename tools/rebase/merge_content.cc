// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/merge_content.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tools/rebase/content.h"
#include "tools/rebase/mergers/registry.h"

namespace mica::rebase {
namespace {

using guest::ObjectKind;

constexpr uint64_t kDigestSizeMax = uint64_t{64} << 20;

class ContentMerge {
 public:
  ContentMerge(MergeScene& scene, MergeItem& item)
      : scene_(scene), item_(item), node_(item.node), decision_(item.decision) {}

  Result<ContentSource> Run() {
    const ObjectChange& ours = node_.ours().change;
    const ObjectChange& theirs = node_.theirs().change;
    if (node_.kind() == ObjectKind::kDirectory) return ContentSource::kTheirs;
    if (!ours.content && !ours.created) return ContentSource::kTheirs;
    if (!theirs.content && !theirs.created) return Renumbered();
    ASSIGN(const bool same, Same());
    if (same) return ContentSource::kTheirs;
    TRY(AddFacts());
    return Resolve();
  }

 private:
  Result<bool> Same() {
    const guest::Object& ours = node_.ours().view->object;
    const guest::Object& theirs = node_.theirs().view->object;
    if (ours.kind != ObjectKind::kRegular) {
      return ours.symlink_target == theirs.symlink_target &&
             ours.device_major == theirs.device_major && ours.device_minor == theirs.device_minor;
    }
    return SameContent(item_.File(scene_, Version::kOurs), item_.File(scene_, Version::kTheirs));
  }

  Result<std::optional<VersionFacts>> Facts(Version version, const std::optional<View>& view) {
    if (!view) return std::optional<VersionFacts>();
    VersionFacts facts = {view->object.size, view->object.attributes.modified, std::nullopt};
    if (view->object.kind == ObjectKind::kRegular && view->object.size <= kDigestSizeMax) {
      ASSIGN(facts.digest, DigestContent(item_.File(scene_, version)));
    }
    return std::optional<VersionFacts>(facts);
  }

  Result<void> AddFacts() {
    ASSIGN(item_.entry.base_facts, Facts(Version::kBase, node_.base));
    ASSIGN(item_.entry.our_facts, Facts(Version::kOurs, node_.ours().view));
    ASSIGN(item_.entry.their_facts, Facts(Version::kTheirs, node_.theirs().view));
    return {};
  }

  ContentSource Take(Side side, Severity severity, std::string_view detail) {
    item_.Note(side == Side::kOurs ? Action::kOurs : Action::kTheirs,
               decision_.severity().value_or(severity), detail);
    item_.SaveLoser(scene_, Other(side));
    item_.ours_content_lost = side == Side::kTheirs;
    return side == Side::kOurs ? ContentSource::kOurs : ContentSource::kTheirs;
  }

  Result<ContentSource> Resolve() {
    item_.entry.rule = decision_.Where(PolicyKey::kBoth);
    switch (decision_.both()) {
      case BothChanged::kOurs:
        return Take(Side::kOurs, Severity::kNotice, "");
      case BothChanged::kTheirs:
        return Take(Side::kTheirs, Severity::kNotice, "");
      case BothChanged::kNewer: {
        const bool ours_newer = node_.ours().view->object.attributes.modified >
                                node_.theirs().view->object.attributes.modified;
        return Take(ours_newer ? Side::kOurs : Side::kTheirs, Severity::kNotice, "the newer one");
      }
      case BothChanged::kKeepBoth:
        item_.Note(Action::kBoth, decision_.severity().value_or(Severity::kNotice), "");
        node_.result.beside = Side::kTheirs;
        return ContentSource::kOurs;
      case BothChanged::kFail:
        return Take(Side::kOurs, Severity::kError, "both changed it, and the rule says fail");
      case BothChanged::kUnit:
        if (item_.forced != nullptr) return TakeForced(Severity::kWarn);
        break;
      case BothChanged::kMerge:
        if (node_.kind() == ObjectKind::kRegular) return RunMerger(decision_.merger());
        if (item_.forced != nullptr) return TakeForced(Severity::kNotice);
        break;
      case BothChanged::kAuto:
        break;
    }
    if (node_.kind() == ObjectKind::kRegular) return RunMerger("text");
    return Take(Side::kOurs, Severity::kWarn, "both changed it");
  }

  ContentSource TakeForced(Severity severity) {
    item_.entry.package = item_.forced->package;
    return Take(item_.forced->side, severity,
                fmt::format("as {}, which comes from {}", item_.forced->package,
                            SideName(item_.forced->side)));
  }

  Result<std::optional<std::string>> Read(Version version, const std::optional<View>& view) {
    if (!view) return std::optional<std::string>("");
    if (view->object.size > kMergeSizeMax) return std::optional<std::string>();
    const FileRef file = item_.File(scene_, version);
    ASSIGN(std::string bytes, guest::ReadWhole(*file.volume, file.inode, kMergeSizeMax));
    return std::optional<std::string>(std::move(bytes));
  }

  // Empty when a version is too large.
  Result<std::optional<MergeOutput>> Merge(const Merger& merger, Version their_version) {
    ASSIGN(const auto base, Read(Version::kBase, node_.base));
    ASSIGN(const auto ours, Read(Version::kOurs, node_.ours().view));
    ASSIGN(const auto theirs,
           Read(their_version, their_version == Version::kBase ? node_.base : node_.theirs().view));
    if (!base || !ours || !theirs) return std::optional<MergeOutput>();
    MergeInput input = {item_.entry.path, *base, *ours, *theirs, {}};
    input.context.ids = &scene_.ids;
    input.context.side_of = [&](std::string_view name, std::string_view architecture) {
      return scene_.packages.SideOf(name, architecture);
    };
    return std::optional<MergeOutput>(merger.merge(input));
  }

  Result<ContentSource> RunMerger(std::string_view name) {
    ASSIGN(auto output, Merge(*FindMerger(name), Version::kTheirs));
    if (!output || !output->merged) {
      return Take(Side::kOurs, Severity::kWarn,
                  output ? fmt::format("both changed it; {} merge: {}", name,
                                       fmt::join(output->conflicts, ", "))
                         : std::string("both changed it, and it is too large to merge"));
    }
    item_.entry.merger = name;
    node_.result.merged = *std::move(output->merged);
    item_.Note(Action::kMerged, Severity::kInfo, "");
    if (!output->conflicts.empty()) {
      item_.Raise(decision_.severity().value_or(Severity::kWarn),
                  fmt::format("{}", fmt::join(output->conflicts, ", ")));
      item_.SaveLoser(scene_, Side::kTheirs);
    }
    return ContentSource::kMerged;
  }

  // Only ours changed the content; where it holds ids that were renumbered they change here too.
  Result<ContentSource> Renumbered() {
    const Merger* merger = FindMerger(decision_.merger());
    if (scene_.ids.empty() || merger == nullptr || !merger->renumbers || !node_.base ||
        node_.kind() != ObjectKind::kRegular) {
      return ContentSource::kOurs;
    }
    ASSIGN(auto output, Merge(*merger, Version::kBase));
    if (!output || !output->merged) return ContentSource::kOurs;
    item_.entry.merger = merger->name;
    node_.result.merged = *std::move(output->merged);
    return ContentSource::kMerged;
  }

  MergeScene& scene_;
  MergeItem& item_;
  Node& node_;
  const Decision& decision_;
};

}  // namespace

Result<ContentSource> MergeContent(MergeScene& scene, MergeItem& item) {
  return ContentMerge(scene, item).Run();
}

}  // namespace mica::rebase
