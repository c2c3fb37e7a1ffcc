// SPDX-License-Identifier: Apache-2.0
// PosixFile: a BlockFile over one descriptor and one I/O engine. Internal to engine/io. It
// continues short transfers, fills zeroes past the end of the file and remembers a failed sync. A
// descriptor opened for direct I/O must be given aligned requests only (aligned_file.h sees to
// that).
#pragma once

#include <string>

#include "engine/base/unique_fd.h"
#include "engine/io/block_file.h"
#include "engine/io/io_op.h"

namespace mica {

struct PosixFileTraits {
  bool writable = false;
  bool is_block_device = false;
  uint32_t direct_alignment = 0;  // of offsets and lengths; 0 = buffered
};

class PosixFile final : public BlockFile {
 public:
  // `engine` must outlive the file.
  PosixFile(IoEngine& engine, UniqueFd fd, std::string path, const PosixFileTraits& traits);
  ~PosixFile() override;

  [[nodiscard]] const FileLimits& limits() const noexcept override { return limits_; }
  Async<uint64_t> Size() override;
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer) override;
  Async<void> WriteZeroes(ByteRange range, ZeroMode mode) override;
  Async<void> Allocate(ByteRange range) override;
  Async<void> Sync() override;
  Async<void> Resize(uint64_t size) override;

 private:
  [[nodiscard]] Error ErrorAt(int host_errno, const char* action, uint64_t offset) const;
  [[nodiscard]] Result<void> CheckWritable(const char* action) const;
  // Reads what the page cache already holds; the number of bytes filled.
  uint64_t ReadCached(uint64_t offset, Bytes buffer) noexcept;
  [[nodiscard]] bool IsEndOfFile(int64_t got, uint64_t asked) const noexcept;
  Async<void> Fallocate(int mode, ByteRange range, const char* action);

  IoEngine& engine_;
  const UniqueFd fd_;
  const std::string path_;
  const PosixFileTraits traits_;
  FileLimits limits_;
  bool try_cache_;      // whether a read that does not wait is worth trying
  int sync_errno_ = 0;  // of the first sync that failed
  uint64_t in_flight_ = 0;
};

// Bytes of a regular file or block device.
Result<uint64_t> DescriptorSize(int fd, bool is_block_device, const std::string& path);

}  // namespace mica
