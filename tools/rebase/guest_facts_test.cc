// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/guest_facts.h"

#include <gtest/gtest.h>

#include <memory>

#include "tools/guest/joined_tree.h"
#include "tools/rebase/policy_parse.h"
#include "tools/rebase/testing/fake_tree.h"

namespace mica::rebase {
namespace {

using guest::JoinedTree;

void Put(FakeTree& tree, const std::string& path, const std::string& content) {
  tree.MakeParents(path);
  tree.Write(path, content);
}

// A guest with /var on a volume of its own.
struct TwoVolumes {
  TwoVolumes() {
    root.Mkdir("/var");
    Put(root, "/var/hidden", "under the mount");
    Put(root, "/usr/bin/tool", "tool");
    root.Symlink("/spool", "var/spool");
  }

  guest::Volume& Join() {
    root_volume = std::make_unique<FakeVolume>(root);
    var_volume = std::make_unique<FakeVolume>(var);
    auto joined = JoinedTree::Join({{"/var", var_volume.get()}, {"", root_volume.get()}});
    EXPECT_TRUE(joined.has_value());
    tree = *std::move(joined);
    return *tree;
  }

  void Install(const std::string& version, const std::string& file) {
    Put(var, "/lib/dpkg/status",
        "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version +
            "\n");
    Put(var, "/lib/dpkg/info/tool.list", "/.\n/usr/bin/tool\n" + file + "\n");
  }

  FakeTree root;
  FakeTree var;
  std::unique_ptr<FakeVolume> root_volume;
  std::unique_ptr<FakeVolume> var_volume;
  std::unique_ptr<JoinedTree> tree;
};

std::string Read(guest::Volume& volume, const std::string& path) {
  const auto inode = guest::LookupPath(volume, path);
  if (!inode || !*inode) return "absent";
  const auto text = guest::ReadWhole(volume, **inode, 1000);
  return text ? *text : text.error().message;
}

TEST(JoinedTree, ShowsEachVolumeWhereItIsMounted) {
  TwoVolumes guest;
  Put(guest.var, "/spool/mail", "a letter");
  guest::Volume& tree = guest.Join();
  EXPECT_EQ(Read(tree, "/usr/bin/tool"), "tool");
  EXPECT_EQ(Read(tree, "/var/spool/mail"), "a letter");
  EXPECT_EQ(Read(tree, "/var/hidden"), "absent");
  const auto top = tree.List(tree.root());
  ASSERT_TRUE(top.has_value());
  for (const guest::DirectoryEntry& entry : *top) {
    const auto object = tree.Stat(entry.inode);
    ASSERT_TRUE(object.has_value());
    EXPECT_EQ(object->id.inode, entry.inode);
    if (entry.name != "var") continue;
    const auto inside = tree.List(entry.inode);
    ASSERT_TRUE(inside.has_value());
    ASSERT_EQ(inside->size(), 1u);
    EXPECT_EQ(inside->front().name, "spool");
  }
}

TEST(JoinedTree, NeedsARootDirectoryAndPassesOverMissingMountPoints) {
  FakeTree root;
  FakeVolume volume(root);
  EXPECT_FALSE(JoinedTree::Join({}).has_value());
  EXPECT_FALSE(JoinedTree::Join({{"/var", &volume}}).has_value());
  const auto joined = JoinedTree::Join({{"", &volume}, {"/no/where", &volume}});
  ASSERT_TRUE(joined.has_value());
  EXPECT_EQ(Read(**joined, "/no/where"), "absent");
  EXPECT_FALSE((*joined)->Stat(uint64_t{1} << 60).has_value());
}

TEST(GuestFacts, PackagesSpanVolumes) {
  TwoVolumes base;
  TwoVolumes ours;
  TwoVolumes theirs;
  base.Install("1.0", "/var/lib/tool");
  ours.Install("1.2", "/var/lib/tool");
  theirs.Install("1.10", "/var/lib/tool-new");
  Policy policy;
  policy.Push(BuiltinLinuxPolicy());
  const auto facts =
      FindGuestFacts({base.Join(), ours.Join(), theirs.Join()}, {"", "/home", "/var"}, policy);
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->database, "/var");
  ASSERT_EQ(facts->packages.units.size(), 1u);
  EXPECT_EQ(facts->packages.units[0].side, Side::kTheirs);
  const GuestFacts root = FactsBelow(*facts, "");
  ASSERT_NE(root.packages.paths.Find("/usr/bin/tool"), nullptr);
  const GuestFacts var = FactsBelow(*facts, "/var");
  EXPECT_EQ(var.packages.paths.Find("/usr/bin/tool"), nullptr);
  for (const char* path : {"/lib/tool", "/lib/tool-new", "/lib/dpkg/info/tool.list"}) {
    const ForcedSide* forced = var.packages.paths.Find(path);
    ASSERT_NE(forced, nullptr) << path;
    EXPECT_EQ(forced->side, Side::kTheirs);
  }
  EXPECT_EQ(var.packages.SideOf("tool", "amd64"), Side::kTheirs);
}

TEST(GuestFacts, AlternativesSpanVolumes) {
  const std::string head = "auto\n/usr/bin/editor\n\n";
  const std::string ed = "/bin/ed\n-100\n";
  TwoVolumes base;
  TwoVolumes ours;
  TwoVolumes theirs;
  for (const auto& [guest, choice, target] :
       {std::tuple(&base, "", "/bin/ed"), std::tuple(&ours, "/bin/vim\n30\n", "/bin/vim"),
        std::tuple(&theirs, "/bin/nano\n40\n", "/bin/nano")}) {
    Put(guest->var, "/lib/dpkg/alternatives/editor", head + ed + choice + "\n");
    guest->root.MakeParents("/etc/alternatives/editor");
    guest->root.Symlink("/etc/alternatives/editor", target);
  }
  const auto facts = FindGuestFacts({base.Join(), ours.Join(), theirs.Join()}, {"", "/var"}, {});
  ASSERT_TRUE(facts.has_value());
  const ForcedSide* link = facts->link_groups.Find("/etc/alternatives/editor");
  ASSERT_NE(link, nullptr);
  EXPECT_EQ(link->side, Side::kTheirs);
}

}  // namespace
}  // namespace mica::rebase
