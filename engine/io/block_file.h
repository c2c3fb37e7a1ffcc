// SPDX-License-Identifier: Apache-2.0
// BlockFile: one open host file, the lower half of the host seam (host.h is the upper half). No
// caching and no policy: it moves bytes and says when they are durable.
#pragma once

#include <cstdint>

#include "engine/async/task.h"
#include "engine/base/bytes.h"
#include "engine/base/range.h"

namespace mica {

struct FileLimits {
  // Offsets and lengths that are multiples of this, in memory aligned to kDirectIoAlignment, go
  // straight to the device. Everything else is accepted too, through a bounce buffer; an unaligned
  // write is then a read-modify-write that is not atomic against concurrent ones. 1 = no
  // preference.
  uint32_t request_alignment = 1;
};

enum class ZeroMode : uint8_t {
  kAllocate,    // reads zero afterwards and stays allocated
  kDeallocate,  // reads zero afterwards and the space goes back to the host
};

// All members: calls on one file may overlap in time; the order of overlapping ranges in flight is
// undefined. Buffers stay alive and unchanged until completion. Loop thread only. Destroying a file
// with operations in flight is a bug. Closing does not sync.
class BlockFile {
 public:
  BlockFile() = default;
  BlockFile(const BlockFile&) = delete;
  BlockFile& operator=(const BlockFile&) = delete;
  virtual ~BlockFile() = default;

  [[nodiscard]] virtual const FileLimits& limits() const noexcept = 0;

  // Current size in bytes.
  virtual Async<uint64_t> Size() = 0;

  // Fills the whole buffer or fails; bytes past the end of the file read as zero.
  virtual Async<void> Read(uint64_t offset, Bytes buffer) = 0;

  // Writes all or fails (then any part may have reached the file); grows the file when needed.
  virtual Async<void> Write(uint64_t offset, ConstBytes buffer) = 0;

  // kUnsupported is an answer (the caller writes zeroes itself), never a silent success.
  // kDeallocate does not change the file's size.
  virtual Async<void> WriteZeroes(ByteRange range, ZeroMode mode) = 0;

  // Reserves host space for the range, growing the file; existing content stays. Afterwards writes
  // into the range do not fail with kNoSpace. kUnsupported where the host cannot promise that.
  virtual Async<void> Allocate(ByteRange range) = 0;

  // Every write that completed before this call survives a power cut once it succeeds, the size
  // included. After one failure the host may have dropped the data: every later Sync of this file
  // fails too, until it is opened again.
  virtual Async<void> Sync() = 0;

  // Cuts or grows (with zeroes) to `size`.
  virtual Async<void> Resize(uint64_t size) = 0;
};

}  // namespace mica
