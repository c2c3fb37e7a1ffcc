// SPDX-License-Identifier: Apache-2.0
// Volume: read access to the files of one guest file system. Synchronous: the libraries underneath
// are. Everything read from a guest is hostile input; kCorrupt is an ordinary answer. A volume is
// used by one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/object.h"

namespace mica::guest {

struct DirectoryEntry {
  std::string name;  // without "." and ".."
  uint64_t inode = 0;
  ObjectKind kind = ObjectKind::kRegular;
};

class Volume {
 public:
  Volume() = default;
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;
  virtual ~Volume() = default;

  [[nodiscard]] virtual uint64_t root() const noexcept = 0;  // inode of "/"

  virtual Result<Object> Stat(uint64_t inode) = 0;
  // The entry `leaf` of a directory; empty when there is none.
  virtual Result<std::optional<uint64_t>> LookupIn(uint64_t directory, std::string_view leaf) = 0;
  // In the order of their names' bytes.
  virtual Result<std::vector<DirectoryEntry>> List(uint64_t directory) = 0;
  // Reads up to the end of the file; returns the bytes read. Holes read zero.
  virtual Result<size_t> Read(uint64_t inode, uint64_t offset, Bytes buffer) = 0;
  // The stored ranges of a regular file in order, so that a copy can keep its holes.
  virtual Result<std::vector<ByteRange>> StoredRanges(uint64_t inode) = 0;
  // Whether any object of this file system has room for all these attributes together. Where no
  // limit is known it has.
  [[nodiscard]] virtual bool CanHold(const Xattrs& /*xattrs*/) const { return true; }
  // What the file system keeps of a time that any object of it is given.
  [[nodiscard]] virtual Timestamp StoredTime(Timestamp time) const { return time; }
};

// Walks an absolute path without following symlinks; empty when a component is missing or not a
// directory.
Result<std::optional<uint64_t>> LookupPath(Volume& volume, std::string_view path);

// The whole content of a regular file; kLimit when it is larger than `size_max`.
Result<std::string> ReadWhole(Volume& volume, uint64_t inode, uint64_t size_max);

}  // namespace mica::guest
