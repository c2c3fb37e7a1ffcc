// SPDX-License-Identifier: Apache-2.0
// What of a file may have changed between two states of one volume, from its maps and the blocks
// that were written in between. Content is read only of files that keep it in their inode.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/content_change.h"
#include "tools/guest/ext4/volume.h"

namespace mica::guest {

class ContentSince {
 public:
  // Borrows both. `written`: bytes of the volume outside of which the two states are equal.
  ContentSince(Ext4Volume& then, Ext4Volume& now, std::span<const ByteRange> written);

  // Of the regular file with this number. Empty when it was another object then, or none.
  Result<std::optional<ContentChange>> Of(uint64_t inode);

 private:
  Result<std::vector<ByteRange>> ChangedRanges(uint64_t inode, uint64_t size_then,
                                               uint64_t size_now);
  void AddWritten(const FileExtent& extent, std::vector<ByteRange>& changed) const;

  Ext4Volume& then_;
  Ext4Volume& now_;
  std::vector<ByteRange> written_;  // sorted, without overlap
};

}  // namespace mica::guest
