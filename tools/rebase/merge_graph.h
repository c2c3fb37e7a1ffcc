// SPDX-License-Identifier: Apache-2.0
// The objects the planner reasons about: each node is one object in up to three versions. Nodes are
// made from the two change sets; directories that neither lists are added when something names
// them. Identity is by object first and by name second: pairing.h joins what was unlinked and
// created again under the same name.
#pragma once

#include <array>
#include <compare>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/change_set.h"
#include "tools/rebase/planner.h"

namespace mica::rebase {

using NodeIndex = size_t;

enum class Version : uint8_t { kBase, kOurs, kTheirs };

constexpr Version VersionOf(Side side) {
  return side == Side::kOurs ? Version::kOurs : Version::kTheirs;
}

// A name as the graph sees it: in a directory that may itself have moved.
struct Slot {
  NodeIndex parent = 0;
  std::string leaf;
  friend auto operator<=>(const Slot&, const Slot&) = default;
};

// One object in one version.
struct View {
  guest::Object object;
  std::vector<guest::Name> names;
  std::vector<Slot> slots;  // of names, sorted; filled by Graph::Finish
};

struct SideState {
  std::optional<View> view;  // empty: the object is not in this version
  bool listed = false;       // the side's change set has it
  // Set when the object is the base's own (not one that took its name): the change set's flags
  // hold.
  const guest::ChangedObject* entry = nullptr;
  // A new object took one of the names of the base's, which keeps another one: a hard link became a
  // file of its own.
  bool split_off = false;
  ObjectChange change;
};

enum class ContentSource : uint8_t { kTheirs, kOurs, kMerged };

// What the node shall be in the result.
struct NodeResult {
  bool present = false;
  Side object = Side::kTheirs;  // whose symlink target and device number, and kind
  ContentSource content = ContentSource::kTheirs;
  std::string merged;
  // An object of its own, also where the new master has it as a name of another one.
  bool apart = false;
  guest::Attributes attributes;
  std::vector<Slot> slots;
  // The losing version goes into an object of its own, beside the first name.
  std::optional<Side> beside;
  std::string beside_leaf;
};

struct Node {
  std::optional<View> base;
  std::array<SideState, 2> sides;
  bool listed = false;  // by either change set; otherwise a directory that is the same everywhere
  bool merged_away = false;  // joined into another node
  // Of an unlisted directory: a path it has, and in which version.
  std::string known_path;
  Version known_version = Version::kBase;
  NodeResult result;
  std::optional<size_t> entry;  // in the report

  SideState& Of(Side side) { return sides[static_cast<size_t>(side)]; }
  [[nodiscard]] const SideState& Of(Side side) const { return sides[static_cast<size_t>(side)]; }
  [[nodiscard]] SideState& ours() { return Of(Side::kOurs); }
  [[nodiscard]] SideState& theirs() { return Of(Side::kTheirs); }
  [[nodiscard]] const SideState& ours() const { return Of(Side::kOurs); }
  [[nodiscard]] const SideState& theirs() const { return Of(Side::kTheirs); }
  [[nodiscard]] guest::ObjectKind kind() const;
  // All three versions are there and have the same content.
  [[nodiscard]] bool HasOneContent() const;
  // For rules and reports: of ours, else of theirs, else of the base. Empty for unlisted
  // directories.
  [[nodiscard]] std::string path() const;
};

class Graph {
 public:
  explicit Graph(const PlanInput& input) : input_(input) {}

  // Reads the change sets. Names are not resolved yet.
  Result<void> Load();
  // Resolves all names and finds out what each side changed.
  Result<void> Finish();

  std::deque<Node>& nodes() { return nodes_; }
  Node& At(NodeIndex index) { return nodes_[index]; }

  // The node of a directory of one version. `name` is what was found in it, for its path.
  Result<NodeIndex> DirectoryOf(Version version, const guest::Name& name);
  // The directory a slot's directory is in; the root's is itself.
  Result<NodeIndex> ParentOf(NodeIndex directory);

  // For pairing: a node for an object of one side that stands for no object of the base.
  NodeIndex AddNode();
  void SetView(NodeIndex node, Side side, View view);

  [[nodiscard]] const PlanInput& input() const { return input_; }
  [[nodiscard]] guest::Volume& volume(Version version) const;

 private:
  using ByInode = std::unordered_map<uint64_t, NodeIndex>;

  void LoadSide(Side side, const guest::ChangeSet& changes);
  Result<void> FillUnlistedSides();
  std::optional<NodeIndex> Find(Version version, uint64_t inode) const;
  NodeIndex ListedBase(const guest::ChangedObject& entry);
  Result<void> ResolveSlots(Version version, View& view);
  Result<void> FindChanges(Node& node, Side side);
  ByInode& Map(Version version) { return by_inode_[static_cast<size_t>(version)]; }
  [[nodiscard]] const ByInode& Map(Version version) const {
    return by_inode_[static_cast<size_t>(version)];
  }

  const PlanInput& input_;
  std::deque<Node> nodes_;
  std::array<ByInode, 3> by_inode_;
};

}  // namespace mica::rebase
