// SPDX-License-Identifier: Apache-2.0
// The objects of a mounted file system by their inode numbers, opened by file handle
// (name_to_handle_at(2)): no path is walked, so no symlink and no ".." leads anywhere.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "tools/guest/object.h"

namespace mica::guest {

// Knows what it has been shown: an object is learned through its directory.
class FileHandles {
 public:
  // `root` is an open directory: the root of the mount.
  static Result<FileHandles> Make(UniqueFd root);

  [[nodiscard]] uint64_t root() const noexcept { return root_inode_; }
  [[nodiscard]] int root_fd() const noexcept { return root_.get(); }

  // Returns the inode of the entry `leaf`; empty when there is none. kUnsupported when it belongs
  // to another file system: a btrfs subvolume.
  Result<std::optional<uint64_t>> Learn(int directory, const std::string& leaf);
  // All that `other` knows, which is another mount of the same file system as it is now.
  void LearnFrom(const FileHandles& other) {
    known_.insert(other.known_.begin(), other.known_.end());
  }

  // O_PATH, which is enough for what is no file and no directory. kNotFound for what was never
  // learned or is deleted.
  Result<UniqueFd> OpenPath(uint64_t inode) const;
  // `flags` of open(2). kInvalidArgument for what is neither a regular file nor a directory.
  Result<UniqueFd> Open(uint64_t inode, int flags) const;

  [[nodiscard]] Result<ObjectKind> KindOf(uint64_t inode) const;
  // What tells an inode from an earlier one of that number.
  [[nodiscard]] Result<uint32_t> GenerationOf(uint64_t inode) const;

 private:
  static constexpr size_t kHandleBytesMax = 32;
  struct Known {
    std::array<std::byte, kHandleBytesMax> bytes{};
    uint8_t length = 0;
    ObjectKind kind = ObjectKind::kRegular;
    int type = 0;
  };

  explicit FileHandles(UniqueFd root) : root_(std::move(root)) {}
  Result<const Known*> Find(uint64_t inode) const;
  Result<UniqueFd> OpenKnown(uint64_t inode, const Known& known, int flags) const;

  UniqueFd root_;
  uint64_t root_inode_ = 0;
  uint64_t device_ = 0;
  std::unordered_map<uint64_t, Known> known_;
};

// The kind of a mode as stat(2) has it; kCorrupt when it names none.
Result<ObjectKind> KindOfMode(uint32_t mode);

// kInvalidArgument for what is no name of an entry: a file system cannot have it, so whoever asks
// for it means to lead out of the directory.
Result<void> CheckLeaf(std::string_view leaf);

}  // namespace mica::guest
