// SPDX-License-Identifier: Apache-2.0
// Adds and removes names in directories. Link counts are the business of Ext4Writer.
#pragma once

#include <optional>
#include <string_view>

#include "tools/guest/ext4/map_writer.h"

namespace mica::guest {

// One name to be added: what it is called and what it names.
struct NewEntry {
  std::string_view leaf;
  uint32_t inode = 0;
  ObjectKind kind = ObjectKind::kRegular;
};

// kExists when the directory has the name; kUnsupported for encrypted and casefolded directories;
// kInvalidArgument for "", ".", "..", names with a slash or a zero byte, or longer than 255 bytes.
// A linear directory that grows beyond a block becomes a hashed one.
Result<void> AddEntry(WriteContext& context, uint64_t directory, const NewEntry& entry);

// The inode the name had; kNotFound when the directory does not have it.
Result<uint32_t> RemoveEntry(WriteContext& context, uint64_t directory, std::string_view leaf);

// A directory with inline data becomes one with a block.
Result<void> MoveEntriesToBlock(WriteContext& context, uint64_t directory);

// Rewrites ".." of a directory that has moved.
Result<void> SetParent(WriteContext& context, uint64_t directory, uint32_t parent);

}  // namespace mica::guest
