// SPDX-License-Identifier: Apache-2.0
// Ext4Writer: changes to the files of an ext2/3/4 volume. Every call leaves the volume consistent
// in itself (as e2fsck understands it) once the volume is closed; nothing is durable before.
#pragma once

#include <string>
#include <string_view>

#include "tools/guest/ext4/file_writer.h"
#include "tools/guest/ext4/map_writer.h"
#include "tools/guest/ext4/volume.h"
#include "tools/guest/object.h"
#include "tools/guest/volume_writer.h"

namespace mica::guest {

struct Ext4WriterOptions {
  Timestamp now;  // ctime of what changes, crtime of what is made
  uint32_t generation_seed =
      1;  // generations of new inodes follow from it, for results that repeat
};

// Borrows a volume open for writing. After an error other than kExists, kNotFound,
// kInvalidArgument or kUnsupported the volume may be half changed and must be abandoned.
class Ext4Writer final : public VolumeWriter {
 public:
  Ext4Writer(Ext4Volume& volume, Ext4WriterOptions options);

  Result<uint64_t> Create(const Place& at, const NewObject& object) override;
  // kLimit beyond 65000 names.
  Result<void> Link(const Place& at, uint64_t inode) override;
  Result<void> Remove(const Place& at) override;
  // Moving a directory below itself is not noticed.
  Result<void> Rename(const Place& from, const Place& to) override;
  // crtime and atime stay, ctime becomes now.
  Result<void> SetAttributes(uint64_t inode, const Attributes& attributes) override;
  Result<std::unique_ptr<ContentWriter>> OpenContent(uint64_t inode) override;
  Result<FileWriter> OpenFile(uint64_t inode) { return FileWriter::Open(context_, inode); }

 private:
  [[nodiscard]] Result<void> CheckNew(const NewObject& object) const;
  Result<RawInode> NewInode(const Place& at, const NewObject& object);
  Result<void> FillInode(RawInode& inode, const Place& at, const NewObject& object);
  Result<void> FillSymlink(RawInode& inode, const std::string& target);
  Result<void> DeleteInode(RawInode& inode);
  Result<void> MakeRoomFor(const Xattrs& xattrs, uint64_t inode);
  Result<void> ChangeLinks(uint64_t inode, int by);
  void Touch(RawInode& inode) const;  // ctime

  WriteContext context_;
  uint32_t generation_;
};

}  // namespace mica::guest
