// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/writer.h"

#include <fmt/format.h>

#include <cstddef>

#include "engine/base/prng.h"
#include "tools/guest/ext4/directory.h"
#include "tools/guest/ext4/directory_builder.h"
#include "tools/guest/ext4/directory_lookup.h"
#include "tools/guest/ext4/directory_writer.h"
#include "tools/guest/ext4/xattr_room.h"
#include "tools/guest/ext4/xattr_writer.h"

namespace mica::guest {

namespace {

constexpr int kLinksMax = 65000;  // EXT4_LINK_MAX
constexpr size_t kSymlinkBytesMax = 4095;
constexpr size_t kEndOfCtimeExtra = offsetof(ext2_inode_large, i_ctime_extra) + 4;
constexpr size_t kEndOfAtimeExtra = offsetof(ext2_inode_large, i_atime_extra) + 4;
constexpr size_t kEndOfCrtime = offsetof(ext2_inode_large, i_crtime_extra) + 4;

bool IsDirectory(const RawInode& inode) {
  return (inode.large().i_mode & LINUX_S_IFMT) == LINUX_S_IFDIR;
}

// A FileWriter after which the volume maps the file anew.
class Ext4Content final : public ContentWriter {
 public:
  Ext4Content(Ext4Volume& volume, FileWriter file) : volume_(volume), file_(std::move(file)) {}

  Result<void> Write(uint64_t offset, ConstBytes data) override {
    return file_.Write(offset, data);
  }
  Result<void> Resize(uint64_t size) override { return file_.Resize(size); }
  Result<void> Punch(ByteRange range) override { return file_.Punch(range); }
  Result<void> Finish() override {
    volume_.ForgetMaps();
    return file_.Finish();
  }

 private:
  Ext4Volume& volume_;
  FileWriter file_;
};

}  // namespace

Ext4Writer::Ext4Writer(Ext4Volume& volume, Ext4WriterOptions options)
    : context_(volume), generation_(options.generation_seed) {
  context_.now = options.now;
  volume.fs()->now = static_cast<time_t>(options.now.seconds);
  // The backups of superblock and descriptors stay as they are, as with the kernel: less to write.
  volume.fs()->flags |= EXT2_FLAG_MASTER_SB_ONLY;
}

void Ext4Writer::Touch(RawInode& inode) const {
  const EncodedTime now = EncodeTime(context_.now);
  inode.large().i_ctime = now.seconds;
  if (inode.Reaches(kEndOfCtimeExtra)) inode.large().i_ctime_extra = now.extra;
}

Result<RawInode> Ext4Writer::NewInode(const Place& at, const NewObject& object) {
  ext2_filsys fs = context_.fs();
  RawInode inode;
  const errcode_t code =
      ext2fs_new_inode(fs, static_cast<ext2_ino_t>(at.directory), 0, nullptr, &inode.number);
  if (code != 0) return Error{Errc::kNoSpace, "the guest file system has no free inode"};
  inode.disk_bytes = EXT2_INODE_SIZE(fs->super);
  inode.bytes.resize(std::max(inode.disk_bytes, sizeof(ext2_inode_large)));
  ext2_inode_large& raw = inode.large();
  if (inode.disk_bytes > EXT2_GOOD_OLD_INODE_SIZE) {
    const uint16_t wanted = std::max(fs->super->s_want_extra_isize, fs->super->s_min_extra_isize);
    const size_t room = inode.disk_bytes - EXT2_GOOD_OLD_INODE_SIZE;
    const size_t usual = sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
    raw.i_extra_isize =
        static_cast<uint16_t>(wanted >= 4 && wanted <= room ? wanted & ~3 : std::min(room, usual));
  }
  raw.i_mode = ModeBitsOf(object.kind);
  // Before anything else is written: the generation is part of every checksum.
  generation_ = static_cast<uint32_t>(Prng(generation_).Next());
  raw.i_generation = generation_;
  const EncodedTime now = EncodeTime(context_.now);
  raw.i_atime = now.seconds;
  if (inode.Reaches(kEndOfAtimeExtra)) raw.i_atime_extra = now.extra;
  if (inode.Reaches(kEndOfCrtime)) {
    raw.i_crtime = now.seconds;
    raw.i_crtime_extra = now.extra;
  }
  Touch(inode);
  TRY(EncodeAttributes(fs, object.attributes, inode));
  return inode;
}

Result<void> Ext4Writer::CheckNew(const NewObject& object) const {
  TRY(CheckXattrNames(object.attributes.xattrs));
  if (object.kind != ObjectKind::kSymlink) return {};
  const std::string& target = object.symlink_target;
  const size_t bytes_max = std::min<size_t>(kSymlinkBytesMax, context_.fs()->blocksize - 1);
  if (!target.empty() && target.size() <= bytes_max && target.find('\0') == std::string::npos)
    return {};
  return Error{Errc::kInvalidArgument,
               fmt::format("a symlink cannot have a target of {} bytes", target.size())};
}

Result<void> Ext4Writer::FillSymlink(RawInode& inode, const std::string& target) {
  const Bytes area = inode.block_area();
  if (target.size() < area.size()) {
    std::memcpy(area.data(), target.data(), target.size());
    inode.large().i_size = static_cast<uint32_t>(target.size());
    return WriteInode(context_.fs(), context_.io(), inode);
  }
  InitMap(context_.fs(), inode);
  TRY(WriteInode(context_.fs(), context_.io(), inode));
  ASSIGN(FileWriter writer, FileWriter::OpenInode(context_, inode));
  TRY(writer.Write(0, AsBytes(target)));
  return writer.Finish();
}

Result<void> Ext4Writer::FillInode(RawInode& inode, const Place& at, const NewObject& object) {
  switch (object.kind) {
    case ObjectKind::kDirectory:
      InitMap(context_.fs(), inode);
      return BuildDirectory(context_, inode, static_cast<uint32_t>(at.directory), {});
    case ObjectKind::kSymlink:
      return FillSymlink(inode, object.symlink_target);
    case ObjectKind::kCharDevice:
    case ObjectKind::kBlockDevice:
      EncodeDevice(object.device_major, object.device_minor, inode);
      break;
    case ObjectKind::kRegular:
      InitMap(context_.fs(), inode);
      break;
    case ObjectKind::kFifo:
    case ObjectKind::kSocket:
      break;
  }
  return WriteInode(context_.fs(), context_.io(), inode);
}

Result<uint64_t> Ext4Writer::Create(const Place& at, const NewObject& object) {
  const bool is_directory = object.kind == ObjectKind::kDirectory;
  TRY(CheckNew(object));
  ASSIGN(RawInode inode, NewInode(at, object));
  // The name first: it fails for the ordinary reasons (exists, not a directory) with nothing done.
  TRY(AddEntry(context_, at.directory, {at.leaf, inode.number, object.kind}));
  ext2fs_inode_alloc_stats2(context_.fs(), inode.number, +1, is_directory ? 1 : 0);
  inode.large().i_links_count = is_directory ? 2 : 1;
  TRY(FillInode(inode, at, object));
  if (is_directory) TRY(ChangeLinks(at.directory, +1));
  if (!object.attributes.xattrs.empty()) {
    TRY(SetXattrs(context_, inode.number, object.attributes.xattrs));
  }
  return uint64_t{inode.number};
}

Result<void> Ext4Writer::ChangeLinks(uint64_t number, int by) {
  ASSIGN(RawInode inode, context_.volume.Inode(number));
  Touch(inode);
  uint16_t& links = inode.large().i_links_count;
  // A directory with too many subdirectories has 1 link for good (dir_nlink).
  const bool uncounted = IsDirectory(inode) && links == 1;
  if (!uncounted) {
    if (IsDirectory(inode) && by > 0 && links + by > kLinksMax) {
      if (!ext2fs_has_feature_dir_nlink(context_.fs()->super)) {
        return Error{Errc::kLimit,
                     fmt::format("directory inode {} has too many subdirectories", number)};
      }
      links = 1;
    } else {
      links = static_cast<uint16_t>(links + by);
    }
  }
  return WriteInode(context_.fs(), context_.io(), inode);
}

Result<void> Ext4Writer::Link(const Place& at, uint64_t number) {
  ASSIGN(const RawInode inode, context_.volume.Inode(number));
  ASSIGN(const ObjectKind kind, KindOfInode(inode));
  if (kind == ObjectKind::kDirectory) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("inode {} is a directory: it has one name", number)};
  }
  if (inode.large().i_links_count >= kLinksMax) {
    return Error{Errc::kLimit, fmt::format("inode {} has too many names", number)};
  }
  TRY(AddEntry(context_, at.directory, {at.leaf, inode.number, kind}));
  return ChangeLinks(number, +1);
}

Result<void> Ext4Writer::DeleteInode(RawInode& inode) {
  const bool is_directory = IsDirectory(inode);
  TRY(FreeXattrs(context_, inode));
  TRY(FreeContent(context_, inode));
  inode.large().i_links_count = 0;
  inode.large().i_size = 0;
  inode.large().i_size_high = 0;
  inode.large().i_dtime = static_cast<uint32_t>(std::max<int64_t>(context_.now.seconds, 1));
  TRY(WriteInode(context_.fs(), context_.io(), inode));
  ext2fs_inode_alloc_stats2(context_.fs(), inode.number, -1, is_directory ? 1 : 0);
  return {};
}

Result<void> Ext4Writer::Remove(const Place& at) {
  ASSIGN(const RawInode directory, context_.volume.Inode(at.directory));
  ASSIGN(const auto found, FindEntry(context_.fs(), context_.io(), directory, at.leaf));
  if (!found) {
    return Error{Errc::kNotFound,
                 fmt::format("directory inode {} has no \"{}\"", at.directory, at.leaf)};
  }
  ASSIGN(RawInode inode, context_.volume.Inode(*found));
  if (IsDirectory(inode)) {
    bool empty = true;
    TRY(VisitDirectory(context_.fs(), context_.io(), inode, [&](const RawDirectoryEntry&) {
      empty = false;
      return Visit::kStop;
    }));
    if (!empty)
      return Error{Errc::kInvalidArgument, fmt::format("directory inode {} is not empty", *found)};
  }
  ASSIGN([[maybe_unused]] const uint32_t removed, RemoveEntry(context_, at.directory, at.leaf));
  context_.volume.ForgetMaps();
  if (IsDirectory(inode)) {
    TRY(ChangeLinks(at.directory, -1));
    return DeleteInode(inode);
  }
  if (inode.large().i_links_count > 1) return ChangeLinks(*found, -1);
  return DeleteInode(inode);
}

Result<void> Ext4Writer::Rename(const Place& from, const Place& to) {
  ASSIGN(const RawInode directory, context_.volume.Inode(from.directory));
  ASSIGN(const auto found, FindEntry(context_.fs(), context_.io(), directory, from.leaf));
  if (!found) {
    return Error{Errc::kNotFound,
                 fmt::format("directory inode {} has no \"{}\"", from.directory, from.leaf)};
  }
  ASSIGN(RawInode inode, context_.volume.Inode(*found));
  ASSIGN(const ObjectKind kind, KindOfInode(inode));
  TRY(AddEntry(context_, to.directory, {to.leaf, *found, kind}));
  ASSIGN([[maybe_unused]] const uint32_t removed, RemoveEntry(context_, from.directory, from.leaf));
  if (kind == ObjectKind::kDirectory && from.directory != to.directory) {
    TRY(SetParent(context_, *found, static_cast<uint32_t>(to.directory)));
    TRY(ChangeLinks(from.directory, -1));
    TRY(ChangeLinks(to.directory, +1));
  }
  return ChangeLinks(*found, 0);
}

// Inline data stands among the attributes; where both do not fit, it moves into a block.
Result<void> Ext4Writer::MakeRoomFor(const Xattrs& xattrs, uint64_t number) {
  ASSIGN(RawInode inode, context_.volume.Inode(number));
  if (!inode.Has(EXT4_INLINE_DATA_FL)) return {};
  ASSIGN(const bool has_room, HasRoomForXattrs(context_, inode, xattrs));
  if (has_room) return {};
  if (IsDirectory(inode)) return MoveEntriesToBlock(context_, number);
  ASSIGN(FileWriter file, FileWriter::OpenInode(context_, std::move(inode)));
  return file.Finish();
}

Result<void> Ext4Writer::SetAttributes(uint64_t number, const Attributes& attributes) {
  TRY(MakeRoomFor(attributes.xattrs, number));
  ASSIGN(RawInode inode, context_.volume.Inode(number));
  TRY(EncodeAttributes(context_.fs(), attributes, inode));
  Touch(inode);
  TRY(WriteInode(context_.fs(), context_.io(), inode));
  context_.volume.ForgetMaps();
  return SetXattrs(context_, number, attributes.xattrs);
}

Result<std::unique_ptr<ContentWriter>> Ext4Writer::OpenContent(uint64_t inode) {
  ASSIGN(FileWriter file, OpenFile(inode));
  return std::unique_ptr<ContentWriter>(
      std::make_unique<Ext4Content>(context_.volume, std::move(file)));
}

}  // namespace mica::guest
