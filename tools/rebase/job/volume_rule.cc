// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_rule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tools/guest/mounted/superblock.h"

namespace mica::rebase {

namespace {

using guest::VolumeKind;
using guest::VolumeKindName;

Error Refusal(const VolumeSides& sides, std::string_view what) {
  std::string text(what);
  if (!sides.note.empty()) text += " (" + sides.note + ")";
  return {Errc::kUnsupported, std::move(text)};
}

ReportEntry EntryFor(const VolumeSides& sides, Action action, Severity severity) {
  ReportEntry entry;
  entry.topic = Topic::kVolume;
  entry.path = sides.name;
  entry.ours.content = sides.ours_changed;
  entry.theirs.content = sides.theirs_changed && sides.theirs.has_value();
  entry.theirs.deleted = !sides.theirs.has_value();
  entry.action = action;
  entry.severity = severity;
  return entry;
}

// What the VM did to the files, where that is known: the end of a sentence.
std::string FilesText(const VolumeSides& sides) {
  constexpr size_t kNamed = 20;
  if (!sides.our_files) return "";
  const std::span<const std::string> files(*sides.our_files);
  if (files.empty()) return "; no file differs";
  const auto named = files.first(std::min(files.size(), kNamed));
  std::string text = fmt::format("; the VM {}", fmt::join(named, ", "));
  if (files.size() > kNamed) text += fmt::format(" and {} more", files.size() - kNamed);
  return text;
}

VolumeRuling Carry(const VolumeSides& sides) {
  VolumeRuling ruling{VolumeFate::kCarry, EntryFor(sides, Action::kCarried, Severity::kInfo)};
  ruling.entry->detail = fmt::format("{}, which the patch did not change: the VM's blocks are kept",
                                     VolumeKindName(sides.ours)) +
                         FilesText(sides);
  return ruling;
}

// Mounting it is enough for that.
VolumeRuling DropState(const VolumeSides& sides) {
  VolumeRuling ruling{VolumeFate::kTheirs, EntryFor(sides, Action::kDropped, Severity::kNotice)};
  ruling.entry->detail = fmt::format(
      "{}, of which the VM changed no file; the new master's is used", VolumeKindName(sides.ours));
  return ruling;
}

VolumeRuling DropSwap(const VolumeSides& sides) {
  VolumeRuling ruling{VolumeFate::kTheirs, EntryFor(sides, Action::kDropped, Severity::kNotice)};
  ruling.entry->detail = "swap space; the new master's is used";
  return ruling;
}

// What would help.
std::string MountHint(const VolumeSides& sides) {
  const std::string_view name = guest::KernelNameOf(sides.ours);
  if (name.empty() || !sides.note.empty() || sides.base != sides.ours || sides.theirs != sides.ours)
    return "";
  return fmt::format(" without the help of the host's kernel (--mount-volumes {})", name);
}

// Never a mix: the new master's stands, and the VM's is where it was.
VolumeRuling Conflict(const VolumeSides& sides, Severity severity) {
  VolumeRuling ruling{VolumeFate::kTheirs, EntryFor(sides, Action::kTheirs, severity)};
  ruling.entry->detail = fmt::format(
      "{}, which the VM and the patch both changed; the new master's is used, the VM's version is "
      "in its old delta, which is kept{}",
      VolumeKindName(sides.ours), FilesText(sides));
  return ruling;
}

Result<VolumeRuling> BothChanged(const VolumeSides& sides) {
  const VolumeKind theirs = *sides.theirs;
  if (sides.base == VolumeKind::kExt || sides.ours == VolumeKind::kExt ||
      theirs == VolumeKind::kExt) {
    return Refusal(sides,
                   fmt::format("the VM and the patch both changed {}: expected an ext file system "
                               "on all three disks, found {} in the old master, {} in the VM and "
                               "{} in the new master",
                               sides.name, VolumeKindName(sides.base), VolumeKindName(sides.ours),
                               VolumeKindName(theirs)));
  }
  switch (sides.ours) {
    case VolumeKind::kFat:
      if (sides.our_files && sides.our_files->empty()) return DropState(sides);
      return Conflict(sides, Severity::kWarn);
    case VolumeKind::kOutside:
      return Conflict(sides, Severity::kWarn);
    case VolumeKind::kUnknown:
    case VolumeKind::kEmpty:
      return Conflict(sides, Severity::kError);
    default:
      break;
  }
  return Refusal(
      sides,
      fmt::format("the VM and the patch both changed {}, which holds {}: expected ext2, ext3 "
                  "or ext4, the only file systems whose files can be merged{}",
                  sides.name, VolumeKindName(sides.ours), MountHint(sides)));
}

}  // namespace

bool IsMergedByFile(const VolumeSides& sides) noexcept {
  return sides.base == sides.ours && sides.theirs == sides.ours &&
         (sides.ours == VolumeKind::kExt || sides.mountable);
}

bool CanSpanPartitions(VolumeKind kind) noexcept {
  return kind == VolumeKind::kRaid || kind == VolumeKind::kLvm || kind == VolumeKind::kBtrfs;
}

Result<VolumeRuling> RuleVolume(const VolumeSides& sides) {
  if (sides.theirs == VolumeKind::kHibernation) {
    return Refusal(sides,
                   fmt::format("{} of the new master holds a hibernated system: expected one that "
                               "was shut down before it was sealed",
                               sides.name));
  }
  if (!sides.ours_changed) return VolumeRuling();
  switch (sides.ours) {
    case VolumeKind::kHibernation:
      return Refusal(sides, fmt::format("{} holds a hibernated system: expected one that was shut "
                                        "down; let the VM resume, and shut it down",
                                        sides.name));
    case VolumeKind::kLuks:
    case VolumeKind::kBitLocker:
      return Refusal(sides, fmt::format("the VM changed {}, which holds {}: nobody without its key "
                                        "can tell what is in it",
                                        sides.name, VolumeKindName(sides.ours)));
    case VolumeKind::kSwap:
      if (sides.base == VolumeKind::kSwap) return DropSwap(sides);
      break;
    default:
      break;
  }
  if (IsMergedByFile(sides)) return VolumeRuling{VolumeFate::kMerge, {}};
  if (!sides.theirs) {
    return Refusal(
        sides, fmt::format("the VM changed {}, which the new master does not have", sides.name));
  }
  return sides.theirs_changed ? BothChanged(sides) : Carry(sides);
}

}  // namespace mica::rebase
