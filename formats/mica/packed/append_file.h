// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/base/aligned_buffer.h"
#include "engine/io/block_file.h"

namespace mica::packed {

// Writes a file from front to back, in large aligned pieces. One call at a time.
class AppendFile {
 public:
  static constexpr size_t kBufferBytes = size_t{1} << 20;

  // Borrows the file; the first byte goes to `start`, a multiple of 4096.
  AppendFile(BlockFile& file, uint64_t start)
      : file_(file), written_(start), buffer_(kBufferBytes) {}

  // Return the offset at which the bytes are.
  Async<uint64_t> Append(ConstBytes bytes);
  // The same at the next multiple of 4096.
  Async<uint64_t> AppendPage(ConstBytes page);

  // Writes what is still in memory, up to a multiple of 4096, which is returned: the file's end.
  Async<uint64_t> Finish();

 private:
  [[nodiscard]] uint64_t position() const noexcept { return written_ + used_; }
  Async<void> Pad();
  Async<void> WriteBuffer(size_t bytes);

  BlockFile& file_;
  uint64_t written_;
  AlignedBuffer buffer_;
  size_t used_ = 0;
};

}  // namespace mica::packed
