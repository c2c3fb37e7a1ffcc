// SPDX-License-Identifier: Apache-2.0
// A guest file system in memory, for tests: a tree that can be copied, changed as a guest would,
// compared with another one into a change set, and read through guest::Volume. Inodes are reused as
// soon as they are free, with another generation, as real file systems do.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tools/guest/change_set.h"
#include "tools/guest/volume.h"

namespace mica::rebase {

struct FakeObject {
  guest::Object object;
  std::string content;                      // regular files
  std::map<std::string, uint64_t> entries;  // directories
};

// Paths are absolute; the directory of a path must exist. Misuse ends the test program.
class FakeTree {
 public:
  static constexpr uint64_t kRoot = 2;

  FakeTree();

  void Mkdir(std::string_view path);
  void Write(std::string_view path, std::string_view content);    // in place, or a new file
  void Replace(std::string_view path, std::string_view content);  // as editors do: a new object
  void Symlink(std::string_view path, std::string_view target);
  void Link(std::string_view from, std::string_view to);
  void Rename(std::string_view from,
              std::string_view to);    // replaces what is at `to`, if not a directory
  void Remove(std::string_view path);  // with everything in it
  guest::Attributes& Attributes(std::string_view path);
  void MakeParents(std::string_view path);

  [[nodiscard]] std::optional<uint64_t> Find(std::string_view path) const;
  [[nodiscard]] bool Has(std::string_view path) const { return Find(path).has_value(); }
  [[nodiscard]] const std::string& Content(std::string_view path) const;
  [[nodiscard]] const FakeObject& At(uint64_t inode) const { return objects_.at(inode); }
  [[nodiscard]] const FakeObject& At(std::string_view path) const { return At(*Find(path)); }
  // Every path with its inode; the root is "/".
  [[nodiscard]] std::map<std::string, uint64_t> Paths() const;
  [[nodiscard]] std::map<uint64_t, std::vector<guest::Name>> Names() const;

  std::map<uint64_t, FakeObject>& objects() { return objects_; }
  [[nodiscard]] const std::map<uint64_t, FakeObject>& objects() const { return objects_; }
  uint64_t Create(guest::ObjectKind kind);
  void Unlink(uint64_t directory, const std::string& leaf);
  // The clock of this tree; give trees that diverge different ones.
  void SetClock(int64_t seconds) { clock_ = seconds; }
  int64_t Tick() { return ++clock_; }
  // An object holds so many bytes of names and values of extended attributes.
  void LimitXattrs(size_t bytes) { xattr_bytes_max_ = bytes; }
  [[nodiscard]] bool CanHold(const guest::Xattrs& xattrs) const;
  // It keeps times without their fractions.
  void KeepWholeSeconds() { whole_seconds_ = true; }
  [[nodiscard]] guest::Timestamp StoredTime(guest::Timestamp time) const {
    return {time.seconds, whole_seconds_ ? 0 : time.nanoseconds};
  }

 private:
  struct Place {
    uint64_t directory = 0;
    std::string leaf;
  };
  [[nodiscard]] Place PlaceOf(std::string_view path) const;
  void Enter(const Place& place, uint64_t inode);

  std::map<uint64_t, FakeObject> objects_;
  uint32_t next_generation_ = 1;
  int64_t clock_ = 1000;
  size_t xattr_bytes_max_ = SIZE_MAX;
  bool whole_seconds_ = false;
};

// By object identity, as the delta-bounded diff gives it.
guest::ChangeSet DiffTrees(const FakeTree& before, const FakeTree& after);

class FakeVolume final : public guest::Volume {
 public:
  explicit FakeVolume(const FakeTree& tree) : tree_(tree) {}

  [[nodiscard]] uint64_t root() const noexcept override { return FakeTree::kRoot; }
  Result<guest::Object> Stat(uint64_t inode) override;
  Result<std::optional<uint64_t>> LookupIn(uint64_t directory, std::string_view leaf) override;
  Result<std::vector<guest::DirectoryEntry>> List(uint64_t directory) override;
  Result<size_t> Read(uint64_t inode, uint64_t offset, Bytes buffer) override;
  Result<std::vector<ByteRange>> StoredRanges(uint64_t inode) override;
  [[nodiscard]] bool CanHold(const guest::Xattrs& xattrs) const override {
    return tree_.CanHold(xattrs);
  }
  [[nodiscard]] guest::Timestamp StoredTime(guest::Timestamp time) const override {
    return tree_.StoredTime(time);
  }

 private:
  Result<const FakeObject*> Get(uint64_t inode) const;
  const FakeTree& tree_;
};

}  // namespace mica::rebase
