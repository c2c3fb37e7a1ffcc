// SPDX-License-Identifier: Apache-2.0
// The volumes of a guest as one tree, each where the guest mounts it, for what spans volumes: a
// package has its files on one and its records on another. Symlinks of one volume lead into others
// as they do in the guest.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/guest/volume.h"

namespace mica::guest {

class JoinedTree final : public Volume {
 public:
  struct Mount {
    std::string path;  // "" for the root directory, else absolute: "/var"
    Volume* volume = nullptr;
  };

  // Borrows the volumes; one of them is the root directory. A volume whose mount point is missing
  // is not in the tree. kInvalidArgument without a root directory or with too many volumes; errors
  // of the volumes.
  static Result<std::unique_ptr<JoinedTree>> Join(std::vector<Mount> mounts);

  // Inode numbers are the tree's own.
  [[nodiscard]] uint64_t root() const noexcept override;
  Result<Object> Stat(uint64_t inode) override;
  Result<std::optional<uint64_t>> LookupIn(uint64_t directory, std::string_view leaf) override;
  Result<std::vector<DirectoryEntry>> List(uint64_t directory) override;
  Result<size_t> Read(uint64_t inode, uint64_t offset, Bytes buffer) override;
  Result<std::vector<ByteRange>> StoredRanges(uint64_t inode) override;

 private:
  struct Place {
    Volume* volume = nullptr;
    uint64_t inode = 0;
  };

  JoinedTree() = default;
  Result<void> Add(const Mount& mount);
  [[nodiscard]] Result<Place> Find(uint64_t inode) const;
  // What stands on the name instead of the volume's own object.
  [[nodiscard]] std::optional<uint64_t> MountedOn(uint64_t directory, std::string_view leaf) const;

  std::vector<Volume*> volumes_;
  std::map<std::pair<uint64_t, std::string>, uint64_t> mounted_;  // name -> root of a volume
};

}  // namespace mica::guest
