// SPDX-License-Identifier: Apache-2.0
// Reading the content of guest files in bounded pieces.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/result.h"
#include "tools/guest/volume.h"

namespace mica::rebase {

// A regular file of some version.
struct FileRef {
  guest::Volume* volume = nullptr;
  uint64_t inode = 0;
};

// Whether the bytes and the sizes are equal.
Result<bool> SameContent(FileRef a, FileRef b);

// XXH3, 64 bits, of the content.
Result<uint64_t> DigestContent(FileRef file);

// MD5 in lower-case hex, as package databases have it.
Result<std::string> Md5Content(FileRef file);

}  // namespace mica::rebase
