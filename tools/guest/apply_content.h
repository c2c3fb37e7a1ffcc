// SPDX-License-Identifier: Apache-2.0
// Content of planned files: which bytes have to be written, and writing them.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"
#include "tools/guest/volume_writer.h"

namespace mica::guest {

// Which parts of a file of ours are copied: `replaced` is what the copy covers, `stored` the parts
// of it that hold data; the rest of it becomes a hole.
struct CopyWork {
  uint64_t size = 0;
  std::vector<ByteRange> replaced;
  std::vector<ByteRange> stored;
};

// kInvalidArgument when the inode is no regular file.
Result<CopyWork> FindCopyWork(Volume& ours, const OursContent& content);

// Called after each piece with the bytes of it; an error stops the copy.
using PieceDone = std::function<Result<void>(uint64_t bytes)>;

// Makes the content of the target's `inode` that of ours, within `work.replaced`.
Result<void> CopyContent(VolumeWriter& writer, uint64_t inode, Volume& ours, uint64_t ours_inode,
                         const CopyWork& work, const PieceDone& piece_done);

Result<void> WriteContent(VolumeWriter& writer, uint64_t inode, const std::string& bytes,
                          const PieceDone& piece_done);

}  // namespace mica::guest
