// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/apply_content.h"

#include <fmt/core.h>

#include <algorithm>

#include "tools/guest/diff_content.h"

namespace mica::guest {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// The parts of `ranges` inside `limits`; both sorted and without overlap.
std::vector<ByteRange> Clip(const std::vector<ByteRange>& ranges,
                            const std::vector<ByteRange>& limits) {
  std::vector<ByteRange> clipped;
  auto range = ranges.begin();
  for (const ByteRange& limit : limits) {
    while (range != ranges.end() && range->end() <= limit.offset) ++range;
    for (auto at = range; at != ranges.end() && at->offset < limit.end(); ++at) {
      clipped.push_back(Intersect(*at, limit));
    }
  }
  return clipped;
}

// Makes what lies between the stored parts of the replaced ranges read zero.
Result<void> PunchGaps(ContentWriter& file, const CopyWork& work) {
  auto stored = work.stored.begin();
  for (const ByteRange& range : work.replaced) {
    uint64_t at = range.offset;
    while (stored != work.stored.end() && stored->offset < range.end()) {
      if (stored->offset > at) TRY(file.Punch(RangeBetween(at, stored->offset)));
      at = stored->end();
      ++stored;
    }
    if (at < range.end()) TRY(file.Punch(RangeBetween(at, range.end())));
  }
  return {};
}

Result<void> CopyStored(ContentWriter& file, Volume& ours, uint64_t ours_inode, ByteRange range,
                        const PieceDone& piece_done) {
  std::vector<std::byte> piece(std::min(kPieceBytes, range.length));
  for (uint64_t done = 0; done < range.length;) {
    const Bytes buffer = Bytes(piece).first(std::min(kPieceBytes, range.length - done));
    ASSIGN(const size_t got, ours.Read(ours_inode, range.offset + done, buffer));
    if (got == 0) {
      return Error{Errc::kCorrupt,
                   fmt::format("inode {} of the VM's volume ends before its size", ours_inode)};
    }
    TRY(file.Write(range.offset + done, buffer.first(got)));
    done += got;
    TRY(piece_done(got));
  }
  return {};
}

}  // namespace

Result<CopyWork> FindCopyWork(Volume& ours, const OursContent& content) {
  ASSIGN(const Object object, ours.Stat(content.inode));
  if (object.kind != ObjectKind::kRegular) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("rebase plan: inode {} of the VM is no file", content.inode)};
  }
  CopyWork work;
  work.size = object.size;
  if (content.ranges) {
    work.replaced = AlignToGrains(*content.ranges, object.size);
  } else if (object.size != 0) {
    work.replaced = {{0, object.size}};
  }
  ASSIGN(const std::vector<ByteRange> stored, ours.StoredRanges(content.inode));
  work.stored = Clip(stored, work.replaced);
  return work;
}

Result<void> CopyContent(VolumeWriter& writer, uint64_t inode, Volume& ours, uint64_t ours_inode,
                         const CopyWork& work, const PieceDone& piece_done) {
  ASSIGN(const std::unique_ptr<ContentWriter> file, writer.OpenContent(inode));
  const bool whole = work.replaced.size() == 1 && work.replaced[0] == ByteRange{0, work.size};
  if (whole || work.size == 0) TRY(file->Resize(0));
  TRY(file->Resize(work.size));
  if (!whole) TRY(PunchGaps(*file, work));
  for (const ByteRange& range : work.stored) {
    TRY(CopyStored(*file, ours, ours_inode, range, piece_done));
  }
  return file->Finish();
}

Result<void> WriteContent(VolumeWriter& writer, uint64_t inode, const std::string& bytes,
                          const PieceDone& piece_done) {
  ASSIGN(const std::unique_ptr<ContentWriter> file, writer.OpenContent(inode));
  TRY(file->Resize(0));
  TRY(file->Write(0, AsBytes(bytes)));
  TRY(file->Finish());
  return piece_done(bytes.size());
}

}  // namespace mica::guest
