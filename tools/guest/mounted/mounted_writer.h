// SPDX-License-Identifier: Apache-2.0
// MountedWriter: changes to the files of a mounted file system.
#pragma once

#include <map>

#include "tools/guest/mounted/mounted_tree.h"
#include "tools/guest/volume_writer.h"

namespace mica::guest {

// Borrows a tree that is mounted for writing. What an object forbids (immutable, append-only) is
// lifted where a change needs it, and shown by Stat of this class as if it were there; Finish puts
// back what SetAttributes has not.
class MountedWriter final : public VolumeWriter {
 public:
  explicit MountedWriter(MountedTree& tree) : tree_(tree) {}

  Result<uint64_t> Create(const Place& at, const NewObject& object) override;
  Result<void> Link(const Place& at, uint64_t inode) override;
  Result<void> Remove(const Place& at) override;
  Result<void> Rename(const Place& from, const Place& to) override;
  Result<void> SetAttributes(uint64_t inode, const Attributes& attributes) override;
  Result<std::unique_ptr<ContentWriter>> OpenContent(uint64_t inode) override;

  Result<Object> Stat(uint64_t inode);
  Result<void> Finish();

 private:
  // O_PATH, with nothing that forbids changes of its entries.
  Result<UniqueFd> Directory(uint64_t inode);
  Result<void> Lift(uint64_t inode);
  Result<void> LiftEntry(int directory, std::string_view leaf);

  MountedTree& tree_;
  std::map<uint64_t, uint32_t> lifted_;  // by inode: all flags it had
};

}  // namespace mica::guest
