// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/inode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace mica::guest {

namespace {

constexpr size_t kEndOfMtimeExtra = offsetof(ext2_inode_large, i_mtime_extra) + 4;
constexpr size_t kEndOfCrtime = offsetof(ext2_inode_large, i_crtime_extra) + 4;
constexpr size_t kEndOfProject = offsetof(ext2_inode_large, i_projid) + 4;

struct KindRow {
  ObjectKind kind;
  uint16_t mode_bits;
  uint8_t file_type;
};
constexpr KindRow kKinds[] = {
    {ObjectKind::kRegular, LINUX_S_IFREG, EXT2_FT_REG_FILE},
    {ObjectKind::kDirectory, LINUX_S_IFDIR, EXT2_FT_DIR},
    {ObjectKind::kSymlink, LINUX_S_IFLNK, EXT2_FT_SYMLINK},
    {ObjectKind::kCharDevice, LINUX_S_IFCHR, EXT2_FT_CHRDEV},
    {ObjectKind::kBlockDevice, LINUX_S_IFBLK, EXT2_FT_BLKDEV},
    {ObjectKind::kFifo, LINUX_S_IFIFO, EXT2_FT_FIFO},
    {ObjectKind::kSocket, LINUX_S_IFSOCK, EXT2_FT_SOCK},
};

const KindRow& RowOf(ObjectKind kind) noexcept {
  return *std::ranges::find(kKinds, kind, &KindRow::kind);
}

void DecodeDevice(const RawInode& inode, Object& object) {
  const uint32_t old_form = inode.large().i_block[0];
  if (old_form != 0) {
    object.device_major = old_form >> 8 & 0xff;
    object.device_minor = old_form & 0xff;
    return;
  }
  const uint32_t new_form = inode.large().i_block[1];
  object.device_major = (new_form & 0xfff00) >> 8;
  object.device_minor = (new_form & 0xff) | (new_form >> 12 & 0xfff00);
}

}  // namespace

Result<RawInode> ReadInode(ext2_filsys fs, IoManager& io, uint64_t number) {
  if (number == 0 || number > fs->super->s_inodes_count) {
    return Error{Errc::kCorrupt, fmt::format("inode {} does not exist: the file system has {}",
                                             number, fs->super->s_inodes_count)};
  }
  RawInode inode;
  inode.number = static_cast<ext2_ino_t>(number);
  inode.disk_bytes = EXT2_INODE_SIZE(fs->super);
  inode.bytes.resize(std::max(inode.disk_bytes, sizeof(ext2_inode_large)));
  const errcode_t code =
      ext2fs_read_inode_full(fs, inode.number, inode.basic(), static_cast<int>(inode.disk_bytes));
  if (code != 0) return Ext2Error(io, code, fmt::format("reading inode {}", number));
  return inode;
}

Result<void> WriteInode(ext2_filsys fs, IoManager& io, RawInode& inode) {
  const errcode_t code =
      ext2fs_write_inode_full(fs, inode.number, inode.basic(), static_cast<int>(inode.disk_bytes));
  if (code != 0) return Ext2Error(io, code, fmt::format("writing inode {}", inode.number));
  return {};
}

Result<ObjectKind> KindOfInode(const RawInode& inode) {
  const uint32_t bits = inode.large().i_mode & LINUX_S_IFMT;
  const auto* row = std::ranges::find(kKinds, bits, &KindRow::mode_bits);
  if (row == std::end(kKinds)) {
    return Error{Errc::kCorrupt, fmt::format("inode {} has mode {:#o}, which names no kind of file",
                                             inode.number, inode.large().i_mode)};
  }
  return row->kind;
}

uint16_t ModeBitsOf(ObjectKind kind) noexcept {
  return RowOf(kind).mode_bits;
}
uint8_t FileTypeOf(ObjectKind kind) noexcept {
  return RowOf(kind).file_type;
}

Timestamp DecodeTime(uint32_t seconds, uint32_t extra) noexcept {
  Timestamp time;
  time.seconds = static_cast<int32_t>(seconds) + (int64_t{extra & 3} << 32);
  time.nanoseconds = std::min(extra >> 2, 999'999'999u);
  return time;
}

EncodedTime EncodeTime(Timestamp time) noexcept {
  constexpr int64_t kMin = -(int64_t{1} << 31);
  constexpr int64_t kMax = (int64_t{3} << 32) + (int64_t{1} << 31) - 1;
  const int64_t seconds = std::clamp(time.seconds, kMin, kMax);
  const auto low = static_cast<uint32_t>(static_cast<uint64_t>(seconds) & 0xffffffff);
  const int64_t epoch = (seconds - static_cast<int32_t>(low)) >> 32;
  return {low, (time.nanoseconds << 2) | (static_cast<uint32_t>(epoch) & 3)};
}

Result<Object> DecodeInode(ext2_filsys fs, const RawInode& inode) {
  const ext2_inode_large& raw = inode.large();
  Object object;
  ASSIGN(object.kind, KindOfInode(inode));
  object.id.inode = inode.number;
  object.id.generation = raw.i_generation;
  if (inode.Reaches(kEndOfCrtime)) object.id.created = DecodeTime(raw.i_crtime, raw.i_crtime_extra);
  Attributes& attributes = object.attributes;
  attributes.mode = raw.i_mode & 07777;
  attributes.uid = raw.i_uid | (uint32_t{raw.osd2.linux2.l_i_uid_high} << 16);
  attributes.gid = raw.i_gid | (uint32_t{raw.osd2.linux2.l_i_gid_high} << 16);
  attributes.modified =
      DecodeTime(raw.i_mtime, inode.Reaches(kEndOfMtimeExtra) ? raw.i_mtime_extra : 0);
  attributes.flags = raw.i_flags & kUserFlags;
  if (ext2fs_has_feature_project(fs->super) && inode.Reaches(kEndOfProject)) {
    attributes.project_id = raw.i_projid;
  }
  object.link_count = raw.i_links_count;
  if (object.kind == ObjectKind::kRegular || object.kind == ObjectKind::kSymlink) {
    object.size = inode.size();
  }
  if (object.kind == ObjectKind::kCharDevice || object.kind == ObjectKind::kBlockDevice) {
    DecodeDevice(inode, object);
  }
  return object;
}

Result<void> EncodeAttributes(ext2_filsys fs, const Attributes& attributes, RawInode& inode) {
  ext2_inode_large& raw = inode.large();
  const bool has_project =
      ext2fs_has_feature_project(fs->super) != 0 && inode.Reaches(kEndOfProject);
  if (attributes.project_id != 0 && !has_project) {
    return Error{
        Errc::kUnsupported,
        fmt::format("inode {} cannot carry project id {}: the file system has no project ids",
                    inode.number, attributes.project_id)};
  }
  raw.i_mode = static_cast<uint16_t>((raw.i_mode & LINUX_S_IFMT) | (attributes.mode & 07777));
  raw.i_uid = static_cast<uint16_t>(attributes.uid);
  raw.osd2.linux2.l_i_uid_high = static_cast<uint16_t>(attributes.uid >> 16);
  raw.i_gid = static_cast<uint16_t>(attributes.gid);
  raw.osd2.linux2.l_i_gid_high = static_cast<uint16_t>(attributes.gid >> 16);
  const EncodedTime modified = EncodeTime(attributes.modified);
  raw.i_mtime = modified.seconds;
  if (inode.Reaches(kEndOfMtimeExtra)) raw.i_mtime_extra = modified.extra;
  raw.i_flags = (raw.i_flags & ~kUserFlags) | (attributes.flags & kUserFlags);
  if (has_project) raw.i_projid = attributes.project_id;
  return {};
}

void EncodeDevice(uint32_t major, uint32_t minor, RawInode& inode) {
  uint32_t(&block)[EXT2_N_BLOCKS] = inode.large().i_block;
  std::ranges::fill(block, 0);
  if (major < 256 && minor < 256) {
    block[0] = major << 8 | minor;
  } else {
    block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
  }
}

}  // namespace mica::guest
