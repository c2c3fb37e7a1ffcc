// SPDX-License-Identifier: Apache-2.0
// Generated rebases in memory, judged by an oracle that knows nothing of nodes and lineage: it
// compares paths. Every failure names its seed; MICA_SEED=N runs that one alone, MICA_SEEDS=N that
// many.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <ostream>
#include <random>
#include <set>

#include "tools/rebase/testing/scenario.h"

namespace mica::rebase {
namespace {

using guest::ObjectKind;

// Which operations a side does. Where objects keep their names for life, the result is determined
// path by path; with renames and links only what must never be lost can be said without repeating
// the planner.
enum class Profile : uint8_t { kPathsOnly, kEverything };

class Generator {
 public:
  Generator(uint32_t seed, Profile profile) : random_(seed), profile_(profile) {}

  void MakeBase(FakeTree& tree) {
    for (int i = 0; i < 12; ++i) AddSomething(tree, "b");
  }
  void Change(FakeTree& tree, const std::string& side) {
    for (size_t count = Below(9); count > 0; --count) ChangeOnce(tree, side);
  }

 private:
  size_t Below(size_t limit) { return random_() % limit; }

  std::string PickPath(const FakeTree& tree, std::optional<ObjectKind> kind) {
    std::vector<std::string> paths;
    for (const auto& [path, inode] : tree.Paths()) {
      if (!kind || tree.At(inode).object.kind == *kind) paths.push_back(path);
    }
    if (!kind) std::erase(paths, "/");
    return paths.empty() ? "" : paths[Below(paths.size())];
  }

  std::string NewPath(const FakeTree& tree) {
    const std::string directory = PickPath(tree, ObjectKind::kDirectory);
    const std::string leaf(1, static_cast<char>('a' + Below(5)));
    return (directory == "/" ? "" : directory) + "/" + leaf;
  }

  // Unique for a side, so that a lost version shows. Sometimes the same on both sides.
  std::string NewContent(const std::string& side) {
    if (Below(6) == 0) return "common " + std::to_string(Below(2));
    return side + " " + std::to_string(++serial_) + std::string(Below(12), '.');
  }

  void AddSomething(FakeTree& tree, const std::string& side) {
    const std::string path = NewPath(tree);
    if (tree.Has(path)) return;
    const size_t what = Below(10);
    if (what < 4) {
      tree.Mkdir(path);
    } else if (what < 9) {
      tree.Write(path, NewContent(side));
    } else {
      tree.Symlink(path, NewContent(side));
    }
  }

  void ChangeFile(FakeTree& tree, const std::string& side) {
    const std::string file = PickPath(tree, ObjectKind::kRegular);
    if (file.empty()) return;
    switch (Below(3)) {
      case 0:
        tree.Write(file, NewContent(side));
        break;
      case 1:
        tree.Replace(file, NewContent(side));
        break;
      default:
        tree.Attributes(file).mode = 0600 + static_cast<uint32_t>(Below(8));
        tree.Attributes(file).xattrs["user." + side] = NewContent(side);
        break;
    }
  }

  void MoveSomething(FakeTree& tree) {
    const std::string from = PickPath(tree, std::nullopt);
    const std::string to = NewPath(tree);
    if (from.empty() || from == to || (to + "/").starts_with(from + "/")) return;
    const bool directory = tree.At(from).object.kind == ObjectKind::kDirectory;
    if (tree.Has(to) && (directory || tree.At(to).object.kind == ObjectKind::kDirectory)) return;
    if (tree.Has(to) && tree.Find(to) == tree.Find(from)) return;
    tree.Rename(from, to);
  }

  void ChangeOnce(FakeTree& tree, const std::string& side) {
    const bool everything = profile_ == Profile::kEverything;
    const size_t what = Below(everything ? 12 : 8);
    if (what < 3) return AddSomething(tree, side);
    if (what < 6) return ChangeFile(tree, side);
    const std::string path = PickPath(tree, std::nullopt);
    if (path.empty()) return;
    if (what < 8) return tree.Remove(path);
    if (what < 10) return MoveSomething(tree);
    const std::string to = NewPath(tree);
    if (what == 10 && tree.At(path).object.kind != ObjectKind::kDirectory && !tree.Has(to)) {
      return tree.Link(path, to);
    }
    // A backup copy: the old object under a new name, a new one under the old name.
    if (tree.At(path).object.kind == ObjectKind::kRegular && !tree.Has(path + "~")) {
      tree.Rename(path, path + "~");
      tree.Write(path, NewContent(side));
    }
  }

  std::mt19937 random_;
  Profile profile_;
  int serial_ = 0;
};

// What a path is, as a person compares it.
struct Facts {
  bool there = false;
  ObjectKind kind = ObjectKind::kRegular;
  std::string content;  // or link target
  uint32_t mode = 0;
  std::map<std::string, std::string> xattrs;
  friend bool operator==(const Facts&, const Facts&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Facts& facts) {
    if (!facts.there) return out << "nothing";
    out << "kind " << static_cast<int>(facts.kind) << " \"" << facts.content << "\" mode "
        << facts.mode;
    for (const auto& [name, value] : facts.xattrs) out << " " << name << "=" << value;
    return out;
  }
};

Facts FactsOf(const FakeTree& tree, const std::string& path) {
  const auto inode = tree.Find(path);
  if (!inode) return {};
  const FakeObject& object = tree.At(*inode);
  const bool link = object.object.kind == ObjectKind::kSymlink;
  return {true, object.object.kind, link ? object.object.symlink_target : object.content,
          object.object.attributes.mode, object.object.attributes.xattrs};
}

std::set<std::string> AllPaths(std::initializer_list<const FakeTree*> trees) {
  std::set<std::string> paths;
  for (const FakeTree* tree : trees) {
    for (const auto& item : tree->Paths()) paths.insert(item.first);
  }
  return paths;
}

// Every path the report names, whatever it says of it beyond "carried as it was".
std::set<std::string> ContestedPaths(const PlanOutcome& outcome) {
  std::set<std::string> paths;
  for (const ReportEntry& entry : outcome.report.entries()) {
    if (entry.action == Action::kCarried) continue;
    paths.insert(entry.path);
    paths.insert(entry.other_paths.begin(), entry.other_paths.end());
  }
  return paths;
}

// Where the result has a path whose directory had to give its name to an object of another kind.
std::string Relocated(const PlanOutcome& outcome, std::string path) {
  for (const ReportEntry& entry : outcome.report.entries()) {
    if (entry.saved_beside.empty() || !path.starts_with(entry.path + "/")) continue;
    const size_t leaf = entry.path.rfind('/') + 1;
    path.replace(leaf, entry.path.size() - leaf, entry.saved_beside);
  }
  return path;
}

// Path by path: from the side that changed it, and where both did, in the report.
void ExpectPathwise(const Scenario& s, const RebaseResult& r) {
  auto is_directory = [](const Facts& facts) {
    return facts.there && facts.kind == ObjectKind::kDirectory;
  };
  const std::set<std::string> contested = ContestedPaths(r.outcome);
  for (const std::string& path : AllPaths({&s.base, &s.ours, &s.theirs, &r.tree})) {
    const Facts base = FactsOf(s.base, path);
    const Facts ours = FactsOf(s.ours, path);
    const Facts theirs = FactsOf(s.theirs, path);
    const std::string there = theirs.there ? Relocated(r.outcome, path) : path;
    const Facts result = FactsOf(r.tree, there);
    if (path.find(".mica-") != std::string::npos) continue;
    const bool holds_something =
        result.there && result.kind == ObjectKind::kDirectory && !r.tree.At(there).entries.empty();
    if (ours == theirs || theirs == base) {
      // A directory that ours removed may have to stay for what theirs put there, and the report
      // says so.
      if (!is_directory(ours) && holds_something && contested.contains(path)) continue;
      EXPECT_EQ(result, ours) << path << ": is not the VM's";
    } else if (ours == base) {
      if (!is_directory(theirs) && holds_something && contested.contains(path)) continue;
      EXPECT_EQ(result, theirs) << path << ": is not the patch's";
    } else {
      EXPECT_TRUE(contested.contains(path)) << path << ": both changed it, not in the report";
    }
  }
}

std::set<std::string> Contents(const FakeTree& tree) {
  std::set<std::string> contents;
  for (const auto& item : tree.objects()) {
    if (item.second.object.kind == ObjectKind::kRegular) contents.insert(item.second.content);
  }
  return contents;
}

// What a side wrote is in the result, or saved, or the report names a file that had it.
void ExpectNothingLost(const Scenario& s, const RebaseResult& r, Side side) {
  const FakeTree& tree = side == Side::kOurs ? s.ours : s.theirs;
  std::set<std::string> kept = Contents(r.tree);
  for (const RescueItem& item : r.outcome.rescues) {
    kept.insert((item.side == Side::kOurs ? s.ours : s.theirs).At(item.inode).content);
  }
  const std::set<std::string> before = Contents(s.base);
  const std::set<std::string> contested = ContestedPaths(r.outcome);
  for (const auto& [path, inode] : tree.Paths()) {
    const FakeObject& object = tree.At(inode);
    if (object.object.kind != ObjectKind::kRegular || before.contains(object.content)) continue;
    if (kept.contains(object.content)) continue;
    EXPECT_TRUE(side == Side::kTheirs && contested.contains(path))
        << path << ": \"" << object.content << "\" of " << SideName(side) << " is lost";
  }
}

// What only one side touched is as that side has it, wherever no directory above it was moved.
void ExpectUntouchedPaths(const Scenario& s, const RebaseResult& r) {
  std::set<std::string> named;
  for (const ReportEntry& entry : r.outcome.report.entries()) {
    named.insert(entry.path);
    named.insert(entry.other_paths.begin(), entry.other_paths.end());
  }
  for (const std::string& path : AllPaths({&s.base})) {
    const Facts base = FactsOf(s.base, path);
    if (FactsOf(s.ours, path) != base || FactsOf(s.theirs, path) != base) continue;
    // Another object that looks the same came there by a rename.
    if (s.ours.Find(path) != s.base.Find(path) || s.theirs.Find(path) != s.base.Find(path))
      continue;
    bool mentioned = false;
    for (size_t end = path.size(); end > 0; end = path.rfind('/', end - 1)) {
      mentioned = mentioned || named.contains(path.substr(0, end));
      if (end == path.find('/')) break;
    }
    if (mentioned) continue;
    EXPECT_EQ(FactsOf(r.tree, path), base) << path;
  }
}

std::vector<uint32_t> Seeds(uint32_t count) {
  if (const char* one = std::getenv("MICA_SEED")) {
    return {static_cast<uint32_t>(std::strtoul(one, nullptr, 10))};
  }
  if (const char* many = std::getenv("MICA_SEEDS")) {
    count = static_cast<uint32_t>(std::strtoul(many, nullptr, 10));
  }
  std::vector<uint32_t> seeds(count);
  for (uint32_t i = 0; i < count; ++i) seeds[i] = i + 1;
  return seeds;
}

Scenario Generate(uint32_t seed, Profile profile) {
  Scenario s;
  Generator generator(seed, profile);
  generator.MakeBase(s.base);
  s.Branch();
  generator.Change(s.ours, "ours");
  generator.Change(s.theirs, "theirs");
  return s;
}

// Told when one seed is replayed.
void Show(const Scenario& s, const RebaseResult& r) {
  if (std::getenv("MICA_SEED") == nullptr) return;
  for (const std::string& path : AllPaths({&s.base, &s.ours, &s.theirs, &r.tree})) {
    std::cout << path << "\n  base   " << FactsOf(s.base, path) << "\n  ours   "
              << FactsOf(s.ours, path) << "\n  theirs " << FactsOf(s.theirs, path) << "\n  result "
              << FactsOf(r.tree, path) << "\n";
  }
  for (const ReportEntry& entry : r.outcome.report.entries()) {
    std::cout << entry.path << ": " << ActionName(entry.action) << ", "
              << SeverityName(entry.severity) << " " << entry.detail << "\n";
  }
}

TEST(GeneratedRebases, PathByPath) {
  for (const uint32_t seed : Seeds(3000)) {
    SCOPED_TRACE("MICA_SEED=" + std::to_string(seed));
    Scenario s = Generate(seed, Profile::kPathsOnly);
    const auto result = s.TryRebase(Policy());
    ASSERT_TRUE(result.has_value()) << result.error().message;
    Show(s, *result);
    ExpectPathwise(s, *result);
    ExpectNothingLost(s, *result, Side::kOurs);
    ExpectNothingLost(s, *result, Side::kTheirs);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(GeneratedRebases, WithRenamesAndLinks) {
  for (const uint32_t seed : Seeds(3000)) {
    SCOPED_TRACE("MICA_SEED=" + std::to_string(seed));
    Scenario s = Generate(seed, Profile::kEverything);
    const auto result = s.TryRebase(Policy());
    ASSERT_TRUE(result.has_value()) << result.error().message;
    Show(s, *result);
    ExpectNothingLost(s, *result, Side::kOurs);
    ExpectNothingLost(s, *result, Side::kTheirs);
    ExpectUntouchedPaths(s, *result);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(GeneratedRebases, WithoutAPatchTheResultIsTheVm) {
  for (const uint32_t seed : Seeds(1000)) {
    SCOPED_TRACE("MICA_SEED=" + std::to_string(seed));
    Scenario s = Generate(seed, Profile::kEverything);
    s.theirs = s.base;
    const auto result = s.TryRebase(Policy());
    ASSERT_TRUE(result.has_value()) << result.error().message;
    for (const std::string& path : AllPaths({&s.ours, &result->tree})) {
      EXPECT_EQ(FactsOf(result->tree, path), FactsOf(s.ours, path)) << path;
    }
    EXPECT_EQ(result->outcome.report.Highest(), Severity::kInfo);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(GeneratedRebases, WithoutChangesOfTheVmThereIsNoPlan) {
  for (const uint32_t seed : Seeds(300)) {
    SCOPED_TRACE("MICA_SEED=" + std::to_string(seed));
    Scenario s = Generate(seed, Profile::kEverything);
    s.ours = s.base;
    const auto result = s.TryRebase(Policy());
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_TRUE(result->outcome.plan.objects.empty());
    EXPECT_TRUE(result->outcome.report.entries().empty());
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace mica::rebase
