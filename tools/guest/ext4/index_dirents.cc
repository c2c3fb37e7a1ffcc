// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/index_dirents.h"

#include <fmt/core.h>

#include "tools/guest/ext4/directory.h"

namespace mica::guest {
namespace {

EntryVisitor Collector(std::vector<Dirent>& to) {
  return [&to](const RawDirectoryEntry& entry) {
    to.push_back({std::string(entry.name), entry.inode});
    return Visit::kContinue;
  };
}

}  // namespace

Result<void> CheckDirectory(const RawInode& directory) {
  if (!directory.Has(EXT4_ENCRYPT_FL)) return {};
  return Error{Errc::kUnsupported,
               fmt::format("inode {} is an encrypted directory (fscrypt)", directory.number)};
}

Result<void> AppendEntries(const Ext4Blocks& blocks, const RawInode& directory, BlockSpan run,
                           std::vector<Dirent>& to) {
  TRY(CheckDirectory(directory));
  const EntryVisitor collect = Collector(to);
  for (uint64_t block = run.first; block < run.end(); ++block) {
    TRY(VisitDirectoryBlock(blocks.fs(), blocks.io(), directory, block, collect));
  }
  return {};
}

Result<std::vector<Dirent>> ReadEntries(const Ext4Blocks& blocks, const RawInode& directory) {
  TRY(CheckDirectory(directory));
  std::vector<Dirent> entries;
  TRY(VisitDirectory(blocks.fs(), blocks.io(), directory, Collector(entries)));
  return entries;
}

}  // namespace mica::guest
