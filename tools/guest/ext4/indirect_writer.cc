// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/indirect_writer.h"

#include <fmt/format.h>

namespace mica::guest {

namespace {

class IndirectWriter {
 public:
  IndirectWriter(WriteContext& context, RawInode& inode, const std::vector<FileExtent>& extents)
      : context_(context),
        inode_(inode),
        extents_(extents),
        per_block_(context.fs()->blocksize / 4) {}

  Result<void> Run() {
    auto& roots = inode_.large().i_block;
    uint64_t logical = 0;
    for (; logical < EXT2_NDIR_BLOCKS; ++logical) {
      ASSIGN(roots[logical], BlockAt(logical));
    }
    uint64_t span = per_block_;
    for (int depth = 1; depth <= 3; ++depth) {
      ASSIGN(roots[EXT2_NDIR_BLOCKS + depth - 1], Tree(logical, span, depth));
      logical += span;
      span *= per_block_;
    }
    if (!extents_.empty() && extents_.back().end() > logical) {
      return Error{
          Errc::kLimit,
          fmt::format("inode {} would be too large for a map without extents", inode_.number)};
    }
    return {};
  }

 private:
  // Leaves `next_` at the first extent that ends behind `logical`; calls come in ascending order.
  void Advance(uint64_t logical) {
    while (next_ < extents_.size() && extents_[next_].end() <= logical) ++next_;
  }

  // 0 for a hole. There are no unwritten extents in this form.
  Result<uint32_t> BlockAt(uint64_t logical) {
    Advance(logical);
    if (next_ == extents_.size() || extents_[next_].logical > logical) return 0u;
    const uint64_t block = extents_[next_].physical + (logical - extents_[next_].logical);
    if (block > UINT32_MAX)
      return Error{Errc::kLimit, "a block number does not fit a map without extents"};
    return static_cast<uint32_t>(block);
  }

  // The tree that maps [logical, logical + span); 0 when nothing in it is mapped.
  Result<uint32_t> Tree(uint64_t logical, uint64_t span, int depth) {
    Advance(logical);
    if (next_ == extents_.size() || extents_[next_].logical >= logical + span) return 0u;
    ext2_filsys fs = context_.fs();
    ASSIGN(const BlockRun run, context_.allocator.Take(1));
    TRY(AddToBlockCount(fs, inode_, 1));
    std::vector<std::byte> block(fs->blocksize);
    const uint64_t child_span = span / per_block_;
    for (uint64_t i = 0; i < per_block_; ++i) {
      const uint64_t at = logical + i * child_span;
      ASSIGN(const uint32_t child, depth == 1 ? BlockAt(at) : Tree(at, child_span, depth - 1));
      StoreLe(Bytes(block), i * 4, child);
    }
    const errcode_t code = io_channel_write_blk64(fs->io, run.start, 1, block.data());
    if (code != 0)
      return Ext2Error(context_.io(), code, fmt::format("map of inode {}", inode_.number));
    return static_cast<uint32_t>(run.start);
  }

  WriteContext& context_;
  RawInode& inode_;
  const std::vector<FileExtent>& extents_;
  uint64_t per_block_;
  size_t next_ = 0;
};

}  // namespace

Result<void> StoreIndirectMap(WriteContext& context, RawInode& inode,
                              const std::vector<FileExtent>& extents) {
  IndirectWriter writer(context, inode, extents);
  return writer.Run();
}

}  // namespace mica::guest
