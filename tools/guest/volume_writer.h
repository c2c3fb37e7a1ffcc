// SPDX-License-Identifier: Apache-2.0
// VolumeWriter: changes to the files of one volume; what it takes to carry a plan out on it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/bytes.h"
#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/object.h"

namespace mica::guest {

// An object to be made. Its content starts empty.
struct NewObject {
  ObjectKind kind = ObjectKind::kRegular;
  Attributes attributes;
  std::string symlink_target;  // symlinks
  uint32_t device_major = 0;   // devices
  uint32_t device_minor = 0;
};

// A name: a directory's inode and the leaf in it.
struct Place {
  uint64_t directory = 0;
  std::string_view leaf;
};

// Changes the content of one regular file: open, any number of changes, Finish. Nothing else may
// change the file in between.
class ContentWriter {
 public:
  ContentWriter() = default;
  ContentWriter(const ContentWriter&) = delete;
  ContentWriter& operator=(const ContentWriter&) = delete;
  virtual ~ContentWriter() = default;

  // Extends the file when the range ends behind its end.
  virtual Result<void> Write(uint64_t offset, ConstBytes data) = 0;
  // Shorter: what is cut off is freed. Longer: the new part is a hole.
  virtual Result<void> Resize(uint64_t size) = 0;
  // The range reads zero afterwards. The size stays.
  virtual Result<void> Punch(ByteRange range) = 0;
  virtual Result<void> Finish() = 0;
};

// One thread. The caller keeps directory times: they are set with SetAttributes. After an error the
// volume may be half changed and must be abandoned.
class VolumeWriter {
 public:
  VolumeWriter() = default;
  VolumeWriter(const VolumeWriter&) = delete;
  VolumeWriter& operator=(const VolumeWriter&) = delete;
  virtual ~VolumeWriter() = default;

  // Makes an object under a first name; returns its inode.
  virtual Result<uint64_t> Create(const Place& at, const NewObject& object) = 0;
  // Gives an object that is no directory another name.
  virtual Result<void> Link(const Place& at, uint64_t inode) = 0;
  // Takes a name away; with its last name the object is deleted. kInvalidArgument for a directory
  // that is not empty.
  virtual Result<void> Remove(const Place& at) = 0;
  // `to` must not exist. Moving a directory below itself is the caller's mistake.
  virtual Result<void> Rename(const Place& from, const Place& to) = 0;
  // All of `attributes`, xattrs included.
  virtual Result<void> SetAttributes(uint64_t inode, const Attributes& attributes) = 0;
  virtual Result<std::unique_ptr<ContentWriter>> OpenContent(uint64_t inode) = 0;
};

}  // namespace mica::guest
