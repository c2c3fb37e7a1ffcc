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

namespace mica::guest {

// An object to be made. Its content starts empty: regular files are written with OpenFile.
struct NewObject {
  ObjectKind kind = ObjectKind::kRegular;
  Attributes attributes;
  std::string symlink_target;  // symlinks
  uint32_t device_major = 0;   // devices
  uint32_t device_minor = 0;
};

struct Ext4WriterOptions {
  Timestamp now;  // ctime of what changes, crtime of what is made
  uint32_t generation_seed =
      1;  // generations of new inodes follow from it, for results that repeat
};

// A name: a directory's inode and the leaf in it.
struct Place {
  uint64_t directory = 0;
  std::string_view leaf;
};

// Borrows a volume open for writing; one thread. The caller keeps directory times: they are set
// with SetAttributes. After an error other than kExists, kNotFound, kInvalidArgument or
// kUnsupported the volume may be half changed and must be abandoned.
class Ext4Writer {
 public:
  Ext4Writer(Ext4Volume& volume, Ext4WriterOptions options);
  Ext4Writer(const Ext4Writer&) = delete;
  Ext4Writer& operator=(const Ext4Writer&) = delete;

  // Makes an object under a first name; returns its inode.
  Result<uint64_t> Create(const Place& at, const NewObject& object);
  // Gives an object that is no directory another name. kLimit beyond 65000 names.
  Result<void> Link(const Place& at, uint64_t inode);
  // Takes a name away; with its last name the object is deleted. kInvalidArgument for a directory
  // that is not empty.
  Result<void> Remove(const Place& at);
  // `to` must not exist. Moving a directory below itself is the caller's mistake and not noticed.
  Result<void> Rename(const Place& from, const Place& to);
  // All of `attributes`, xattrs included; crtime and atime stay, ctime becomes now.
  Result<void> SetAttributes(uint64_t inode, const Attributes& attributes);
  Result<FileWriter> OpenFile(uint64_t inode) { return FileWriter::Open(context_, inode); }

 private:
  [[nodiscard]] Result<void> CheckNew(const NewObject& object) const;
  Result<RawInode> NewInode(const Place& at, const NewObject& object);
  Result<void> FillInode(RawInode& inode, const Place& at, const NewObject& object);
  Result<void> FillSymlink(RawInode& inode, const std::string& target);
  Result<void> DeleteInode(RawInode& inode);
  Result<void> ChangeLinks(uint64_t inode, int by);
  void Touch(RawInode& inode) const;  // ctime

  WriteContext context_;
  uint32_t generation_;
};

}  // namespace mica::guest
