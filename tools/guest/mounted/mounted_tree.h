// SPDX-License-Identifier: Apache-2.0
// MountedTree: the files of a file system that the kernel has mounted.
#pragma once

#include <dirent.h>

#include <memory>
#include <vector>

#include "engine/base/unique_fd.h"
#include "tools/guest/mounted/file_handles.h"
#include "tools/guest/volume.h"

namespace mica::guest {

// One thread; nobody else changes the tree. Inodes are known once their directory was listed or
// looked into.
class MountedTree final : public Volume {
 public:
  // `root`: an open directory, the root of a mount.
  static Result<std::unique_ptr<MountedTree>> Open(UniqueFd root);

  [[nodiscard]] uint64_t root() const noexcept override { return handles_.root(); }
  Result<Object> Stat(uint64_t inode) override;
  Result<std::optional<uint64_t>> LookupIn(uint64_t directory, std::string_view leaf) override;
  Result<std::vector<DirectoryEntry>> List(uint64_t directory) override;
  Result<size_t> Read(uint64_t inode, uint64_t offset, Bytes buffer) override;
  Result<std::vector<ByteRange>> StoredRanges(uint64_t inode) override;

  [[nodiscard]] FileHandles& handles() noexcept { return handles_; }
  // An open file; it stays open until another one is asked for. O_RDONLY or O_RDWR.
  Result<int> File(uint64_t inode, int access);
  void CloseFile() noexcept { file_.Close(); }
  // Everything written is on the device.
  Result<void> Sync();

 private:
  explicit MountedTree(FileHandles handles) : handles_(std::move(handles)) {}

  FileHandles handles_;
  UniqueFd file_;
  uint64_t file_inode_ = 0;
  int file_access_ = 0;
};

}  // namespace mica::guest
