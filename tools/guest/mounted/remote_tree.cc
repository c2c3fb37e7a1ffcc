// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "tools/guest/mounted/mounter.h"
#include "tools/guest/object_codec.h"

namespace mica::guest {

namespace {

constexpr size_t kEntryBytesMin = 61;

Error BadAnswer() {
  return {Errc::kIo, "an answer of the mounter process that cannot be understood"};
}

}  // namespace

Result<Object> RemoteTree::Stat(uint64_t inode) {
  const auto kept = objects_.find(inode);
  if (kept != objects_.end()) return kept->second;
  ASSIGN(const MountAnswer answer, mounter_.Call(Request(MountOperation::kStat).Add(inode)));
  ByteReader in = answer.reader();
  std::optional<Object> object = TakeObject(in);
  if (!object || !in.at_end()) return BadAnswer();
  return *std::move(object);
}

Result<std::optional<uint64_t>> RemoteTree::LookupIn(uint64_t directory, std::string_view leaf) {
  ASSIGN(const MountAnswer answer,
         mounter_.Call(Request(MountOperation::kLookup).Add(directory).Add(leaf)));
  ByteReader in = answer.reader();
  const auto inode = in.Take<uint64_t>();
  if (!in.at_end()) return BadAnswer();
  return inode == 0 ? std::optional<uint64_t>() : std::optional(inode);
}

Result<std::vector<DirectoryEntry>> RemoteTree::List(uint64_t directory) {
  const auto kept = listings_.find(directory);
  if (kept != listings_.end()) return kept->second;
  std::vector<DirectoryEntry> entries;
  for (bool more = true; more;) {
    ASSIGN(
        const MountAnswer answer,
        mounter_.Call(Request(MountOperation::kList).Add(directory).Add(uint64_t{entries.size()})));
    ByteReader in = answer.reader();
    for (size_t left = in.TakeCount(kEntryBytesMin); left > 0; --left) {
      std::string name = in.TakeText();
      std::optional<Object> object = TakeObject(in);
      if (!object) return BadAnswer();
      entries.push_back({std::move(name), object->id.inode, object->kind});
      if (in.Take<uint8_t>() != 0) places_.insert_or_assign(object->id.inode, TakePlaces(in));
      if (keep_ == Keep::kListings) objects_.insert_or_assign(object->id.inode, *std::move(object));
    }
    more = in.Take<uint8_t>() != 0;
    if (!in.at_end()) return BadAnswer();
  }
  if (keep_ == Keep::kListings) listings_.emplace(directory, entries);
  return entries;
}

Result<size_t> RemoteTree::Read(uint64_t inode, uint64_t offset, Bytes buffer) {
  size_t done = 0;
  while (done < buffer.size()) {
    const uint64_t length = std::min(buffer.size() - done, kMountPieceBytes);
    ASSIGN(const MountAnswer answer,
           mounter_.Call(Request(MountOperation::kRead).Add(inode).Add(offset + done).Add(length)));
    const ConstBytes content = ConstBytes(answer.bytes).subspan(1);
    if (content.size() > length) return BadAnswer();
    if (content.empty()) break;
    std::memcpy(&buffer[done], content.data(), content.size());
    done += content.size();
  }
  return done;
}

Result<std::vector<ByteRange>> RemoteTree::StoredRanges(uint64_t inode) {
  ASSIGN(const MountAnswer answer, mounter_.Call(Request(MountOperation::kStored).Add(inode)));
  ByteReader in = answer.reader();
  std::optional<std::vector<ByteRange>> ranges = TakeRanges(in);
  if (!ranges || !in.at_end()) return BadAnswer();
  return *std::move(ranges);
}

Result<std::optional<std::vector<ExtentPlace>>> RemoteTree::Extents(uint64_t inode) {
  const auto kept = places_.find(inode);
  if (kept != places_.end()) return std::optional(kept->second);
  ASSIGN(const MountAnswer answer, mounter_.Call(Request(MountOperation::kExtents).Add(inode)));
  ByteReader in = answer.reader();
  std::optional<std::vector<ExtentPlace>> places;
  if (in.Take<uint8_t>() != 0) places = TakePlaces(in);
  if (!in.at_end()) return BadAnswer();
  return places;
}

}  // namespace mica::guest
