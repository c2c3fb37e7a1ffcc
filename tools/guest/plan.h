// SPDX-License-Identifier: Apache-2.0
// Plan: what the planner decides and the applier carries out. It is declarative: for each object
// the state it shall have in the result, not the steps to get there. The applier finds an order
// (staging for cyclic moves, deepest deletions first, parents before children); the verifier
// compares the result with the plan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/range.h"
#include "tools/guest/object.h"

namespace mica::guest {

// A directory of the result: one that the target volume (the new master) has, or one the plan
// creates.
struct DirectoryRef {
  enum class Kind : uint8_t { kTargetInode, kPlannedObject };
  Kind kind = Kind::kTargetInode;
  uint64_t value = 0;  // inode in the target volume, or index into Plan::objects
  friend bool operator==(const DirectoryRef&, const DirectoryRef&) = default;
};

struct PlannedName {
  DirectoryRef parent;
  std::string leaf;
  friend bool operator==(const PlannedName&, const PlannedName&) = default;
};

struct KeepContent {};  // the target's own bytes stay

// The bytes of an object of the VM's volume ("ours").
struct OursContent {
  uint64_t inode = 0;
  // Non-empty only when the target's bytes equal the common base's: then these ranges (and the
  // size) are all that differs, and only they are written. Otherwise the whole content is copied,
  // holes kept.
  std::optional<std::vector<ByteRange>> ranges;
};

struct MergedContent {
  std::string bytes;
};

struct PlannedObject {
  // The object of the target volume that becomes this one; empty: it is created.
  std::optional<uint64_t> target_inode;
  ObjectKind kind = ObjectKind::kRegular;
  std::vector<PlannedName> names;  // the full set of names in the result; empty: it is deleted
  std::variant<KeepContent, OursContent, MergedContent> content;
  Attributes attributes;       // complete, as they shall be in the result
  std::string symlink_target;  // symlinks
  uint32_t device_major = 0;   // devices
  uint32_t device_minor = 0;
};

// Objects of the target volume that are not listed stay as they are. A directory is deleted only
// together with (or after the move of) everything it holds in the result; the planner has seen to
// it.
struct Plan {
  std::vector<PlannedObject> objects;
};

}  // namespace mica::guest
