// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/content.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "tools/rebase/dpkg/md5.h"

namespace mica::rebase {
namespace {

constexpr size_t kPiece = size_t{256} << 10;
constexpr size_t kFirstPiece = size_t{4} << 10;

// A volume may return less than was asked for; only 0 is the end.
Result<size_t> ReadFully(FileRef file, uint64_t offset, Bytes buffer) {
  size_t done = 0;
  while (done < buffer.size()) {
    ASSIGN(const size_t got, file.volume->Read(file.inode, offset + done, buffer.subspan(done)));
    if (got == 0) break;
    done += got;
  }
  return done;
}

}  // namespace

// Most files are small, and most that differ do so in their first bytes.
Result<bool> SameContent(FileRef a, FileRef b) {
  ASSIGN(const guest::Object first, a.volume->Stat(a.inode));
  ASSIGN(const guest::Object second, b.volume->Stat(b.inode));
  if (first.size != second.size) return false;
  size_t piece = std::min<uint64_t>(kFirstPiece, first.size);
  std::vector<std::byte> first_bytes;
  std::vector<std::byte> second_bytes;
  for (uint64_t offset = 0; offset < first.size; offset += piece) {
    if (offset != 0) piece = std::min<uint64_t>(kPiece, first.size - offset);
    first_bytes.resize(piece);
    second_bytes.resize(piece);
    ASSIGN(const size_t first_size, ReadFully(a, offset, first_bytes));
    ASSIGN(const size_t second_size, ReadFully(b, offset, second_bytes));
    if (first_size != second_size) return false;
    if (std::memcmp(first_bytes.data(), second_bytes.data(), first_size) != 0) return false;
  }
  return true;
}

Result<uint64_t> DigestContent(FileRef file) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<std::byte> piece(kPiece);
  for (uint64_t offset = 0;; offset += kPiece) {
    ASSIGN(const size_t size, ReadFully(file, offset, piece));
    XXH3_64bits_update(state.get(), piece.data(), size);
    if (size < kPiece) return XXH3_64bits_digest(state.get());
  }
}

Result<std::string> Md5Content(FileRef file) {
  Md5 md5;
  std::vector<std::byte> piece(kPiece);
  for (uint64_t offset = 0;; offset += kPiece) {
    ASSIGN(const size_t size, ReadFully(file, offset, piece));
    md5.Add(ConstBytes(piece).first(size));
    if (size < kPiece) return std::move(md5).Finish();
  }
}

}  // namespace mica::rebase
