// SPDX-License-Identifier: Apache-2.0
// For tests: a mounted image, and random changes to a tree by ordinary system calls.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/prng.h"

namespace mica::guest::testing {

// Mounts an image through a loop device while it lives. Needs root.
class LoopMount {
 public:
  LoopMount(const std::string& image, std::string path);
  LoopMount(const LoopMount&) = delete;
  LoopMount& operator=(const LoopMount&) = delete;
  ~LoopMount();
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool mounted() const { return mounted_; }

 private:
  std::string path_;
  bool mounted_ = false;
};

// Creates, writes, renames, links, deletes, … at random places below a folder. Single changes may
// fail (the target exists, the volume is full): that is part of it.
class RandomChanges {
 public:
  RandomChanges(std::filesystem::path root, Prng& random);
  void Run(uint64_t count);

 private:
  void Step();
  void Look();  // finds files and directories anew

  void Create();
  void MakeFragmented();
  void WriteInPlace();
  void Resize();
  void PunchHole();
  void SaveByRename();
  void RenameFile();
  void MoveDirectory();
  void RecreateDirectory();
  void MakeDirectory();
  void FillDirectory();
  void Link();
  void Symlink();
  void MakeSpecial();
  void ChangeKind();
  void Delete();
  void DeleteTree();
  void ChangeOwnerAndMode();
  void ChangeXattr();
  void ChangeTime();

  void WriteFile(const std::filesystem::path& path, uint64_t bytes);
  [[nodiscard]] std::string Letters(uint64_t count);
  [[nodiscard]] std::filesystem::path NewPath();
  [[nodiscard]] std::optional<std::filesystem::path> AnyFile();
  [[nodiscard]] std::filesystem::path AnyDirectory();  // perhaps the root
  [[nodiscard]] std::optional<std::filesystem::path> AnySubdirectory();

  std::filesystem::path root_;
  Prng& random_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::filesystem::path> directories_;
};

}  // namespace mica::guest::testing
