// SPDX-License-Identifier: Apache-2.0
// IoManager: the io_manager that libext2fs reads and writes through, over a SyncDevice. Blocks are
// read through a small cache; writes go straight to the device, so dropping the object loses
// nothing.
#pragma once

#include <ext2fs/ext2fs.h>

#include <optional>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "tools/guest/ext4/block_cache.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

// Borrows the device. Outlives the ext2_filsys opened with it. One thread. Not movable: the library
// holds its address.
class IoManager {
 public:
  explicit IoManager(SyncDevice& device);
  IoManager(const IoManager&) = delete;
  IoManager& operator=(const IoManager&) = delete;
  ~IoManager() = default;

  // The pair to hand to ext2fs_open2: the name is how the library's open callback finds this
  // object.
  [[nodiscard]] io_manager manager() noexcept { return &manager_; }
  [[nodiscard]] std::string name() const;

  // The library reports device errors as bare numbers; the one behind `code` in full, once. Empty
  // when the last device error was another one (the library went on after it).
  std::optional<Error> TakeError(errcode_t code);

 private:
  struct Callbacks;

  errcode_t SetBlockBytes(io_channel channel, int bytes);
  errcode_t Read(uint64_t block, int count, void* data);
  errcode_t Write(uint64_t block, int count, const void* data);
  errcode_t WriteBytes(uint64_t offset, ConstBytes data);
  errcode_t ZeroOrDiscard(uint64_t block, uint64_t count, bool must_zero);
  errcode_t Flush();
  // Remembers the error and says it as the library's number.
  errcode_t Keep(Error error);
  // The byte range of `count` blocks (or -count bytes) at `block`; nullopt when it wraps.
  [[nodiscard]] std::optional<ByteRange> RangeOf(uint64_t block, int count) const;

  SyncDevice& device_;
  struct_io_manager manager_{};
  struct_io_stats stats_{};
  uint64_t block_bytes_ = 1024;
  BlockCache cache_;
  std::optional<Error> error_;
  errcode_t error_code_ = 0;
};

// An Error from a library code: the device's own words when `io` kept some, otherwise the
// library's, with the kind derived. "action: reason".
Error Ext2Error(IoManager& io, errcode_t code, std::string_view action);

}  // namespace mica::guest
