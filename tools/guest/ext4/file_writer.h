// SPDX-License-Identifier: Apache-2.0
// FileWriter: changes the content of one regular file: blocks are taken in ascending order, holes
// stay holes, the map is written once at the end.
#pragma once

#include "engine/base/bytes.h"
#include "engine/base/range.h"
#include "tools/guest/ext4/map_writer.h"

namespace mica::guest {

// Use: Open, any number of changes, Finish. Nothing else may change the inode in between; a writer
// that is dropped without Finish after a change leaves the volume damaged (the caller abandons it).
// mtime is not touched: attributes are the caller's. A file with inline data becomes one with
// blocks.
class FileWriter {
 public:
  // kUnsupported for encrypted files and files with verity.
  static Result<FileWriter> Open(WriteContext& context, uint64_t inode);
  // The same for an inode in memory that its caller creates; for directories and symlinks too.
  static Result<FileWriter> OpenInode(WriteContext& context, RawInode inode);

  // Extends the file when the range ends behind its end.
  Result<void> Write(uint64_t offset, ConstBytes data);
  // Shorter: what is cut off is freed. Longer: the new part is a hole.
  Result<void> Resize(uint64_t size);
  // The range reads zero afterwards; whole blocks in it are freed. The size stays.
  Result<void> Punch(ByteRange range);
  // Writes map and inode. The writer is done for afterwards.
  Result<void> Finish();

  [[nodiscard]] uint64_t size() const noexcept { return inode_.size(); }

 private:
  FileWriter(WriteContext& context, RawInode inode, FileMap map)
      : context_(&context), inode_(std::move(inode)), map_(std::move(map)) {}

  Result<void> InlineToBlocks();
  Result<void> SetSize(uint64_t size);
  // Makes [first, end) of the file's blocks mapped and written; new blocks that `data_range`
  // (bytes) does not cover whole are zeroed.
  Result<void> MapBlocks(uint64_t first, uint64_t end, ByteRange data_range);
  Result<void> MarkWritten(const FileExtent& unwritten, ByteRange blocks, ByteRange data_range,
                           std::vector<FileExtent>& extents);
  Result<void> FillHole(std::vector<FileExtent>& extents, ByteRange hole, ByteRange data_range);
  // A place for the block at `logical` in a cluster the file has already (bigalloc); length 0:
  // none.
  [[nodiscard]] FileExtent InOwnCluster(const std::vector<FileExtent>& before,
                                        ByteRange hole) const;
  // The first block behind the hole at `logical` whose cluster has a place already.
  [[nodiscard]] uint64_t NextMappedCluster(uint64_t logical) const;
  Result<void> ZeroUncovered(const FileExtent& extent, ByteRange data_range);
  Result<void> WriteMapped(uint64_t offset, ConstBytes data);
  Result<void> ZeroBytes(ByteRange range);  // within mapped, written blocks; elsewhere nothing
  void DropBlocks(uint64_t first, uint64_t end);

  [[nodiscard]] uint64_t block_bytes() const noexcept { return context_->fs()->blocksize; }

  WriteContext* context_;  // never null; a pointer so that the writer can be moved
  RawInode inode_;
  FileMap map_;
  bool map_changed_ = false;
};

// Frees all blocks of an inode and makes its map empty; in memory, the caller writes the inode.
Result<void> FreeContent(WriteContext& context, RawInode& inode);

}  // namespace mica::guest
