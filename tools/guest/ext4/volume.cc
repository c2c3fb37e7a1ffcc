// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/volume.h"

#include <et/com_err.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "tools/guest/ext4/content.h"
#include "tools/guest/ext4/directory.h"
#include "tools/guest/ext4/directory_lookup.h"
#include "tools/guest/ext4/superblock.h"
#include "tools/guest/ext4/xattr_reader.h"
#include "tools/guest/ext4/xattr_room.h"

namespace mica::guest {

namespace {

// A directory of more entries is refused: its listing would not fit into memory.
constexpr size_t kEntriesMax = 50'000'000;

}  // namespace

Result<std::unique_ptr<Ext4Volume>> Ext4Volume::Open(SyncDevice& device, Ext4Options options) {
  ASSIGN(const Superblock superblock, Superblock::Read(device));
  if (superblock.needs_recovery && options.dirty_journal == DirtyJournal::kRefuse) {
    return Error{Errc::kBusy,
                 "the journal of the file system holds changes that are not yet in place"};
  }
  initialize_ext2_error_table();
  std::unique_ptr<Ext4Volume> volume(new Ext4Volume(device));
  int flags = EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP;
  if (options.access == Ext4Access::kReadWrite) {
    if (device.read_only()) return Error{Errc::kReadOnly, "the device is read-only"};
    flags |= EXT2_FLAG_RW;
  }
  const std::string name = volume->io_.name();
  errcode_t code =
      ext2fs_open2(name.c_str(), nullptr, flags, 0, 0, volume->io_.manager(), &volume->fs_);
  if (code != 0) return Ext2Error(volume->io_, code, "opening the file system");
  if (options.access == Ext4Access::kReadWrite) {
    code = ext2fs_read_bitmaps(volume->fs_);
    if (code != 0) return Ext2Error(volume->io_, code, "reading the bitmaps");
  }
  return volume;
}

Ext4Volume::~Ext4Volume() {
  if (fs_ != nullptr) ext2fs_free(fs_);
}

Result<void> Ext4Volume::Close() {
  if (fs_ == nullptr) return {};
  ForgetMaps();
  errcode_t code = 0;
  if ((fs_->flags & EXT2_FLAG_RW) != 0) code = ext2fs_flush2(fs_, 0);
  if (code != 0) {
    Error error = Ext2Error(io_, code, "writing the file system back");
    ext2fs_free(std::exchange(fs_, nullptr));
    return error;
  }
  ext2fs_free(std::exchange(fs_, nullptr));
  return {};
}

Result<Object> Ext4Volume::Stat(uint64_t inode) {
  ASSIGN(const RawInode raw, ReadInode(fs_, io_, inode));
  if (raw.large().i_links_count == 0 && (raw.large().i_mode == 0 || raw.large().i_dtime != 0)) {
    return Error{Errc::kNotFound, fmt::format("inode {} is not in use", inode)};
  }
  ASSIGN(Object object, DecodeInode(fs_, raw));
  ASSIGN(object.attributes.xattrs, ReadXattrs(fs_, io_, raw));
  if (object.kind == ObjectKind::kSymlink) {
    ASSIGN(object.symlink_target, ReadSymlinkTarget(fs_, io_, raw));
  }
  return object;
}

Result<std::optional<uint64_t>> Ext4Volume::LookupIn(uint64_t directory, std::string_view leaf) {
  if (leaf == "." || leaf == "..") return std::optional<uint64_t>();
  ASSIGN(const RawInode raw, ReadInode(fs_, io_, directory));
  ASSIGN(const std::optional<uint32_t> found, FindEntry(fs_, io_, raw, leaf));
  if (!found) return std::optional<uint64_t>();
  if (*found > fs_->super->s_inodes_count) {
    return Error{
        Errc::kCorrupt,
        fmt::format("directory inode {} names inode {}, which does not exist", directory, *found)};
  }
  return std::optional<uint64_t>(*found);
}

Result<ObjectKind> Ext4Volume::KindOfEntry(uint8_t file_type, uint32_t inode) {
  for (const ObjectKind kind :
       {ObjectKind::kRegular, ObjectKind::kDirectory, ObjectKind::kSymlink, ObjectKind::kCharDevice,
        ObjectKind::kBlockDevice, ObjectKind::kFifo, ObjectKind::kSocket}) {
    if (FileTypeOf(kind) == file_type) return kind;
  }
  ASSIGN(const RawInode raw, ReadInode(fs_, io_, inode));
  return KindOfInode(raw);
}

Result<std::vector<DirectoryEntry>> Ext4Volume::List(uint64_t directory) {
  ASSIGN(const RawInode raw, ReadInode(fs_, io_, directory));
  std::vector<DirectoryEntry> entries;
  std::optional<Error> failed;
  TRY(VisitDirectory(fs_, io_, raw, [&](const RawDirectoryEntry& entry) {
    Result<ObjectKind> kind = KindOfEntry(entry.file_type, entry.inode);
    if (!kind) {
      failed = std::move(kind).error();
      return Visit::kStop;
    }
    if (entries.size() == kEntriesMax) {
      failed = Error{Errc::kLimit, fmt::format("directory inode {} has more than {} entries",
                                               directory, kEntriesMax)};
      return Visit::kStop;
    }
    entries.push_back({std::string(entry.name), entry.inode, *kind});
    return Visit::kContinue;
  }));
  if (failed) return std::move(*failed);
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<void> Ext4Volume::CacheMap(uint64_t number) {
  if (cached_inode_.number == number) return {};
  cached_inode_.number = 0;
  ASSIGN(RawInode raw, ReadInode(fs_, io_, number));
  ASSIGN(const ObjectKind kind, KindOfInode(raw));
  if (kind != ObjectKind::kRegular) {
    return Error{Errc::kInvalidArgument, fmt::format("inode {} is not a regular file", number)};
  }
  if (raw.Has(EXT4_ENCRYPT_FL)) {
    return Error{Errc::kUnsupported, fmt::format("inode {} is encrypted by the guest", number)};
  }
  ASSIGN(cached_map_, MapInode(fs_, io_, raw));
  cached_inode_ = std::move(raw);
  return {};
}

Result<size_t> Ext4Volume::Read(uint64_t inode, uint64_t offset, Bytes buffer) {
  TRY(CacheMap(inode));
  const uint64_t size = cached_inode_.size();
  if (offset >= size) return size_t{0};
  const size_t length = std::min<uint64_t>(buffer.size(), size - offset);
  if (cached_inode_.Has(EXT4_INLINE_DATA_FL)) {
    ASSIGN(const std::string content, ReadInline(fs_, io_, cached_inode_));
    std::memcpy(buffer.data(), content.data() + offset, length);
    return length;
  }
  TRY(ReadMapped(fs_, io_, cached_map_, {offset, length}, buffer.first(length)));
  return length;
}

Result<std::vector<ByteRange>> Ext4Volume::StoredRanges(uint64_t inode) {
  TRY(CacheMap(inode));
  const uint64_t size = cached_inode_.size();
  if (cached_inode_.Has(EXT4_INLINE_DATA_FL)) {
    std::vector<ByteRange> whole;
    if (size > 0) whole.push_back({0, size});
    return whole;
  }
  return StoredRangesOf(cached_map_, fs_->blocksize, size);
}

Timestamp Ext4Volume::StoredTime(Timestamp time) const {
  // Fractions, and the bits for what is after 2038, stand behind the first 128 bytes.
  if (EXT2_INODE_SIZE(fs_->super) > EXT2_GOOD_OLD_INODE_SIZE) return time;
  constexpr int64_t kFirst = std::numeric_limits<int32_t>::min();
  constexpr int64_t kLast = std::numeric_limits<int32_t>::max();
  return {std::clamp(time.seconds, kFirst, kLast), 0};
}

bool Ext4Volume::CanHold(const Xattrs& xattrs) const {
  if (xattrs.empty()) return true;
  return ext2fs_has_feature_xattr(fs_->super) &&
         ArrangeXattrs(LeastRoomForXattrs(fs_), xattrs).has_value();
}

}  // namespace mica::guest
