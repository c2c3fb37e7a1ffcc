// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/diff_content.h"

#include <algorithm>
#include <cstring>

namespace mica::guest {
namespace {

constexpr uint64_t kReadBytes = uint64_t{256} << 10;  // a multiple of the grain

// Fills `to` from the file at `offset`; what lies beyond the end is zero.
Result<void> ReadPadded(const FileVersion& file, uint64_t offset, Bytes to) {
  size_t done = 0;
  while (done < to.size() && offset + done < file.size) {
    ASSIGN(const size_t got, file.volume.Read(file.inode, offset + done, to.subspan(done)));
    if (got == 0) break;
    done += got;
  }
  FillZero(to.subspan(done));
  return {};
}

void Append(std::vector<ByteRange>& ranges, ByteRange range) {
  if (!ranges.empty() && ranges.back().end() >= range.offset) {
    ranges.back() = RangeBetween(ranges.back().offset, std::max(ranges.back().end(), range.end()));
  } else {
    ranges.push_back(range);
  }
}

}  // namespace

std::vector<ByteRange> AlignToGrains(std::span<const ByteRange> ranges, uint64_t size) {
  std::vector<ByteRange> sorted;
  for (const ByteRange& range : ranges) {
    if (range.empty() || range.offset >= size) continue;
    const uint64_t end = range.offset + std::min(range.length, size - range.offset);
    const uint64_t begin = AlignDown(range.offset, kContentGrainBytes);
    // Rounding up by the distance to the grain's end, which cannot wrap below `size`.
    const uint64_t rest = (kContentGrainBytes - end % kContentGrainBytes) % kContentGrainBytes;
    sorted.push_back(RangeBetween(begin, end + std::min(rest, size - end)));
  }
  std::ranges::sort(sorted, {}, &ByteRange::offset);
  std::vector<ByteRange> merged;
  for (const ByteRange& range : sorted) Append(merged, range);
  return merged;
}

Result<std::vector<ByteRange>> DifferingContent(const FileVersion& before, const FileVersion& after,
                                                std::span<const ByteRange> candidates) {
  std::vector<ByteRange> differing;
  std::vector<std::byte> old_bytes(kReadBytes);
  std::vector<std::byte> new_bytes(kReadBytes);
  for (const ByteRange& range : AlignToGrains(candidates, after.size)) {
    for (uint64_t offset = range.offset; offset < range.end(); offset += kReadBytes) {
      const size_t length = std::min(kReadBytes, range.end() - offset);
      const Bytes olds = Bytes(old_bytes).first(length);
      const Bytes news = Bytes(new_bytes).first(length);
      TRY(ReadPadded(before, offset, olds));
      TRY(ReadPadded(after, offset, news));
      for (size_t at = 0; at < length; at += kContentGrainBytes) {
        const size_t grain = std::min<size_t>(kContentGrainBytes, length - at);
        if (std::memcmp(&olds[at], &news[at], grain) != 0) {
          Append(differing, {offset + at, grain});
        }
      }
    }
  }
  return differing;
}

}  // namespace mica::guest
