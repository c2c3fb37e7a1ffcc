// SPDX-License-Identifier: Apache-2.0
// A merger joins two changed versions of one file that has a structure: a pure function of the
// three texts. It never writes conflict markers. A new merger is one file here, one line in
// registry.cc and one line in a policy.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/rebase/severity.h"

namespace mica::rebase {

class IdMap;

// The longest file a merger is given; longer ones are treated as having no merger.
inline constexpr uint64_t kMergeSizeMax = uint64_t{64} << 20;

// What mergers may know beyond the three texts. Both members are optional and borrowed.
struct MergeContext {
  // The new numbers of users and groups of ours; applied to ours before it is compared.
  const IdMap* ids = nullptr;
  // The side a package's records come from, where that was decided; by name and architecture.
  std::function<std::optional<Side>(std::string_view package, std::string_view architecture)>
      side_of;
};

struct MergeInput {
  std::string_view path;  // of the file, for mergers that serve several
  std::string_view base;  // empty when both sides created the file
  std::string_view ours;
  std::string_view theirs;
  MergeContext context;
};

struct MergeOutput {
  // Empty: this merger cannot join the two. With conflicts: each of them was decided for ours, and
  // everything else of both sides is in.
  std::optional<std::string> merged;
  std::vector<std::string> conflicts;  // for people, one line each
};

struct Merger {
  std::string_view name;
  MergeOutput (*merge)(const MergeInput& input);
  // Runs even when only ours changed the file, if ids of ours were renumbered.
  bool renumbers = false;
};

}  // namespace mica::rebase
