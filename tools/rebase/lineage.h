// SPDX-License-Identifier: Apache-2.0
// Lineage: which object of a later version an object of the common version has become. It is asked
// about objects that the change set of that version does not list; those it lists say it
// themselves.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "engine/base/result.h"
#include "tools/guest/volume.h"

namespace mica::rebase {

class Lineage {
 public:
  Lineage() = default;
  Lineage(const Lineage&) = delete;
  Lineage& operator=(const Lineage&) = delete;
  virtual ~Lineage() = default;

  // The inode in the later version; empty when the object is not there.
  [[nodiscard]] virtual std::optional<uint64_t> Of(uint64_t base_inode) const = 0;
  // The inode in the common version; empty when the object is new.
  [[nodiscard]] virtual std::optional<uint64_t> BaseOf(uint64_t inode) const = 0;
};

// The later version was derived block by block: unlisted objects keep their inodes.
class SameInodeLineage final : public Lineage {
 public:
  [[nodiscard]] std::optional<uint64_t> Of(uint64_t base_inode) const override {
    return base_inode;
  }
  [[nodiscard]] std::optional<uint64_t> BaseOf(uint64_t inode) const override { return inode; }
};

// The later version was made anew: objects of the same kind at the same path are the same. Of an
// object with several names the first, in path order, decides.
class PathLineage final : public Lineage {
 public:
  // Walks both volumes; they are not kept.
  static Result<PathLineage> Build(guest::Volume& base, guest::Volume& later);

  PathLineage(PathLineage&& other) noexcept
      : later_(std::move(other.later_)), base_(std::move(other.base_)) {}

  [[nodiscard]] std::optional<uint64_t> Of(uint64_t base_inode) const override;
  [[nodiscard]] std::optional<uint64_t> BaseOf(uint64_t inode) const override;

 private:
  PathLineage() = default;
  std::unordered_map<uint64_t, uint64_t> later_;  // by base inode
  std::unordered_map<uint64_t, uint64_t> base_;   // by later inode
};

}  // namespace mica::rebase
