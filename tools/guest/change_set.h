// SPDX-License-Identifier: Apache-2.0
// The file-level difference between two versions of one volume ("before" and "after"): what the
// delta-bounded diff and the full walk both produce, and what `mica diff` prints. It lists objects,
// not paths: a moved directory is one entry, its children are none; a file with three names is one.
#pragma once

#include <optional>
#include <vector>

#include "engine/base/range.h"
#include "tools/guest/object.h"

namespace mica::guest {

struct ChangedObject {
  // Both: the same object (ObjectId) in two versions. Only `before`: deleted. Only `after`:
  // created.
  std::optional<Object> before;
  std::optional<Object> after;
  // All names of the object in either version, sorted by path; not only the changed ones.
  std::vector<Name> names_before;
  std::vector<Name> names_after;

  // Between before and after, when both exist (a created object has everything new):
  bool content_changed = false;     // bytes or size of a regular file, target of a symlink
  bool attributes_changed = false;  // anything in Attributes; of a directory, a file or a symlink
  // The ranges of the new content that may differ, in order; empty with content_changed when the
  // file only became shorter. Regular files.
  std::vector<ByteRange> content_ranges;

  // Whether the object is in other directories or under other leaves. That an ancestor moved
  // changes its paths, but not this.
  [[nodiscard]] bool names_changed() const;
};

// Objects sorted by inode of `before` or else `after`. An object with nothing changed is not
// listed; a modification time alone, on a directory whose entries changed, is not a change of the
// directory (it follows from its entries).
struct ChangeSet {
  std::vector<ChangedObject> objects;
};

}  // namespace mica::guest
