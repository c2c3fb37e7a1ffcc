// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff.h"

#include <fmt/core.h>

#include <utility>

#include "tools/guest/diff_assemble.h"
#include "tools/guest/diff_content.h"
#include "tools/guest/ext4/diff_lineage.h"
#include "tools/guest/ext4/diff_names.h"

namespace mica::guest {
namespace {

class Differ {
 public:
  Differ(const DiffInput& input, const DiffSides& sides)
      : input_(input), sides_(sides), names_(sides) {}

  Result<ChangeSet> Run() {
    ASSIGN(candidates_, FindCandidates(sides_));
    TRY(names_.Compare(candidates_));
    std::set<uint32_t> inodes = names_.Renamed();
    inodes.insert(candidates_.inodes.begin(), candidates_.inodes.end());
    for (const auto& [inode, ranges] : candidates_.content) inodes.insert(inode);
    for (const uint32_t inode : inodes) TRY(CompareInode(inode));
    return AssembleChangeSet(std::move(objects_));
  }

 private:
  // One inode in one version; without `raw` it is not part of the tree.
  struct Side {
    std::optional<RawInode> raw;
    std::vector<Name> names;
  };

  Result<Side> ReadSide(const Ext4Blocks& blocks, uint32_t inode, Version version);
  Result<void> CompareInode(uint32_t inode);
  Result<void> AddChanged(Side before, Side after);
  Result<void> CompareContent(const Side& before, const Side& after, ChangedObject& object);
  Result<std::vector<ByteRange>> ContentCandidates(const RawInode& before, const RawInode& after);

  const DiffInput& input_;
  const DiffSides& sides_;
  NameTable names_;
  Candidates candidates_;
  std::vector<ChangedObject> objects_;
};

Result<Differ::Side> Differ::ReadSide(const Ext4Blocks& blocks, uint32_t inode, Version version) {
  Side side;
  ASSIGN(RawInode raw, ReadVersion(blocks, inode));
  ASSIGN(side.names, names_.NamesOf(inode, version));
  if (side.names.empty()) return side;  // an orphan, or free
  if (!IsObject(raw)) {
    return Error{Errc::kCorrupt, fmt::format("'{}' names inode {}, which is not in use",
                                             side.names.front().path, inode)};
  }
  side.raw = std::move(raw);
  return side;
}

Result<void> Differ::CompareInode(uint32_t inode) {
  if (IsInternalInode(*sides_.after.fs()->super, inode)) return {};
  ASSIGN(Side before, ReadSide(sides_.before, inode, Version::kBefore));
  ASSIGN(Side after, ReadSide(sides_.after, inode, Version::kAfter));
  if (before.raw && after.raw && !SameLineage(*before.raw, *after.raw)) {
    TRY(AddChanged(std::move(before), {}));
    return AddChanged({}, std::move(after));
  }
  return AddChanged(std::move(before), std::move(after));
}

Result<void> Differ::AddChanged(Side before, Side after) {
  if (!before.raw && !after.raw) return {};
  ChangedObject object;
  if (before.raw) {
    ASSIGN(object.before, input_.before.Stat(before.raw->number));
  }
  if (after.raw) {
    ASSIGN(object.after, input_.after.Stat(after.raw->number));
  }
  if (before.raw && after.raw) TRY(CompareContent(before, after, object));
  object.names_before = std::move(before.names);
  object.names_after = std::move(after.names);
  objects_.push_back(std::move(object));
  return {};
}

Result<void> Differ::CompareContent(const Side& before, const Side& after, ChangedObject& object) {
  if (object.after->kind != ObjectKind::kRegular) return {};
  ASSIGN(const std::vector<ByteRange> ranges, ContentCandidates(*before.raw, *after.raw));
  const FileVersion old_file{input_.before, before.raw->number, object.before->size};
  const FileVersion new_file{input_.after, after.raw->number, object.after->size};
  ASSIGN(object.content_ranges, DifferingContent(old_file, new_file, ranges));
  object.content_changed = !object.content_ranges.empty();
  return {};
}

Result<std::vector<ByteRange>> Differ::ContentCandidates(const RawInode& before,
                                                         const RawInode& after) {
  if (!candidates_.inodes.contains(after.number)) {
    const auto touched = candidates_.content.find(after.number);
    return touched == candidates_.content.end() ? std::vector<ByteRange>{} : touched->second;
  }
  const uint64_t size = std::max(before.size(), after.size());
  if (before.Has(EXT4_INLINE_DATA_FL) || after.Has(EXT4_INLINE_DATA_FL)) {
    return std::vector<ByteRange>{{0, size}};
  }
  ASSIGN(const FileMap old_map, MapInode(sides_.before.fs(), sides_.before.io(), before));
  ASSIGN(const FileMap new_map, MapInode(sides_.after.fs(), sides_.after.io(), after));
  const uint64_t block_bytes = sides_.after.block_bytes();
  std::vector<ByteRange> ranges;
  for (const ChangedPiece& piece : ChangedPieces(old_map, new_map, sides_.touched)) {
    ranges.push_back({piece.logical * block_bytes, piece.count * block_bytes});
  }
  // Bytes behind the end are not content: where the end moves, they become or were zero.
  if (before.size() != after.size()) {
    const uint64_t end = std::min(before.size(), after.size());
    ranges.push_back({end, std::max(block_bytes, kContentGrainBytes)});
  }
  return ranges;
}

}  // namespace

Result<ChangeSet> DiffVolumes(const DiffInput& input) {
  ASSIGN(const Ext4Blocks before, Ext4Blocks::Open(input.before.fs(), input.before.io()));
  ASSIGN(const Ext4Blocks after, Ext4Blocks::Open(input.after.fs(), input.after.io()));
  const BlockSet touched(input.touched, after);
  const DiffSides sides{before, after, input.index, touched};
  return Differ(input, sides).Run();
}

}  // namespace mica::guest
