// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/content.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tools/rebase/dpkg/md5.h"

namespace mica::rebase {
namespace {

constexpr size_t kPiece = size_t{256} << 10;

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

Result<bool> SameContent(FileRef a, FileRef b) {
  ASSIGN(const guest::Object first, a.volume->Stat(a.inode));
  ASSIGN(const guest::Object second, b.volume->Stat(b.inode));
  if (first.size != second.size) return false;
  std::vector<std::byte> first_piece(kPiece);
  std::vector<std::byte> second_piece(kPiece);
  for (uint64_t offset = 0; offset < first.size; offset += kPiece) {
    ASSIGN(const size_t first_size, ReadFully(a, offset, first_piece));
    ASSIGN(const size_t second_size, ReadFully(b, offset, second_piece));
    if (first_size != second_size) return false;
    if (!std::equal(first_piece.begin(), first_piece.begin() + static_cast<ptrdiff_t>(first_size),
                    second_piece.begin())) {
      return false;
    }
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
