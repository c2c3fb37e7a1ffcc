// SPDX-License-Identifier: Apache-2.0
// What a Debian guest needs beyond the merge table: package units, accounts, alternatives, with the
// built-in policy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/rebase/dpkg/md5.h"
#include "tools/rebase/planner.h"
#include "tools/rebase/policy_parse.h"
#include "tools/rebase/posix_acl.h"
#include "tools/rebase/testing/scenario.h"

namespace mica::rebase {
namespace {

using testing::HasSubstr;
using testing::Not;

// dpkg as far as files go: unpacks a version of a package into a tree.
struct FakePackage {
  std::string name;
  std::string version;
  std::map<std::string, std::string> files;
  std::string fields;  // further lines of the stanza
};

class LinuxGuest : public testing::Test {
 protected:
  LinuxGuest() {
    Put(s_.base, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    Put(s_.base, "/etc/group", "root:x:0:\n");
    Put(s_.base, "/var/lib/dpkg/status", "");
    Install(s_.base, {"tool", "1.0", {{"/usr/bin/tool", "tool 1"}, {"/usr/share/t/d", "d 1"}}, ""});
    Install(s_.base, {"libx", "1.0", {{"/usr/lib/libx.so", "libx 1"}}, ""});
    s_.Branch();
  }

  static void Put(FakeTree& tree, const std::string& path, const std::string& content) {
    tree.MakeParents(path);
    if (tree.Has(path)) {
      tree.Replace(path, content);
    } else {
      tree.Write(path, content);
    }
  }

  static std::string List(const std::string& name) {
    return "/var/lib/dpkg/info/" + name + ".list";
  }

  static void Forget(FakeTree& tree, const std::string& name) {
    std::string status = tree.Content("/var/lib/dpkg/status");
    const size_t begin = status.find("Package: " + name + "\n");
    if (begin != std::string::npos) status.erase(begin, status.find("\n\n", begin) + 2 - begin);
    Put(tree, "/var/lib/dpkg/status", status);
  }

  static void Remove(FakeTree& tree, const FakePackage& package) {
    Forget(tree, package.name);
    for (const auto& file : package.files) tree.Remove(file.first);
    tree.Remove(List(package.name));
  }

  static void Install(FakeTree& tree, const FakePackage& package) {
    Forget(tree, package.name);
    std::string list = "/.\n";
    for (const auto& [path, content] : package.files) {
      Put(tree, path, content);
      list += path + "\n";
    }
    Put(tree, List(package.name), list);
    Put(tree, "/var/lib/dpkg/status",
        tree.Content("/var/lib/dpkg/status") + "Package: " + package.name +
            "\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + package.version +
            "\n" + package.fields + "\n");
  }

  RebaseResult Rebase(const std::string& site = "") {
    Policy policy;
    policy.Push(BuiltinLinuxPolicy());
    policy.Push(*ParsePolicy("site", site));
    auto result = s_.TryRebase(policy);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result ? *std::move(result) : RebaseResult();
  }

  Scenario s_;
};

TEST_F(LinuxGuest, InstallsOnBothSidesJoin) {
  Install(s_.ours, {"less", "5", {{"/usr/bin/less", "less"}}, ""});
  Install(s_.theirs, {"curl", "7", {{"/usr/bin/curl", "curl"}}, ""});
  Install(s_.theirs, {"tool", "1.1", {{"/usr/bin/tool", "tool 1.1"}, {"/usr/share/t/d", "d"}}, ""});
  const RebaseResult r = Rebase();
  const std::string& status = r.tree.Content("/var/lib/dpkg/status");
  for (const char* name : {"tool", "libx", "less", "curl"}) {
    EXPECT_THAT(status, HasSubstr(std::string("Package: ") + name + "\n"));
    EXPECT_TRUE(r.tree.Has(List(name))) << name;
  }
  EXPECT_THAT(status, HasSubstr("Version: 1.1\n"));
  EXPECT_EQ(r.tree.Content("/usr/bin/tool"), "tool 1.1");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kInfo);
}

TEST_F(LinuxGuest, ContestedPackageComesFromTheHigherVersionAsAWhole) {
  Install(s_.ours,
          {"tool", "1.2", {{"/usr/bin/tool", "tool 1.2"}, {"/usr/share/t/o", "only 1.2"}}, ""});
  s_.ours.Remove("/usr/share/t/d");
  Install(s_.theirs,
          {"tool", "1.10", {{"/usr/bin/tool", "tool 1.10"}, {"/usr/share/t/d", "d 1.10"}}, ""});
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/bin/tool"), "tool 1.10");
  EXPECT_EQ(r.tree.Content("/usr/share/t/d"), "d 1.10");
  EXPECT_FALSE(r.tree.Has("/usr/share/t/o"));
  EXPECT_THAT(r.tree.Content(List("tool")), Not(HasSubstr("/usr/share/t/o")));
  EXPECT_THAT(r.tree.Content("/var/lib/dpkg/status"), HasSubstr("Version: 1.10\n"));
  EXPECT_THAT(r.tree.Content("/var/lib/dpkg/status"), Not(HasSubstr("Version: 1.2\n")));
  const ReportEntry* unit = r.FindEntry("tool", Topic::kPackage);
  ASSERT_NE(unit, nullptr);
  EXPECT_EQ(unit->action, Action::kTheirs);
  EXPECT_EQ(unit->severity, Severity::kNotice);
  EXPECT_EQ(r.Entry("/usr/share/t/o").package, "tool");
}

TEST_F(LinuxGuest, RpmRecordsOfTwoSidesStopTheRebase) {
  for (const char* const folder : {"/var/lib/rpm/", "/usr/lib/sysimage/rpm/"}) {
    LinuxGuest::Put(s_.ours, std::string(folder) + "rpmdb.sqlite-shm", "ours");
    LinuxGuest::Put(s_.theirs, std::string(folder) + "rpmdb.sqlite-shm", "theirs");
  }
  EXPECT_NE(Rebase().outcome.report.GetVerdict(), Verdict::kBlocked);
  Put(s_.ours, "/var/lib/rpm/rpmdb.sqlite", "ours");
  EXPECT_NE(Rebase().outcome.report.GetVerdict(), Verdict::kBlocked);
  Put(s_.theirs, "/var/lib/rpm/rpmdb.sqlite", "theirs");
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.Entry("/var/lib/rpm/rpmdb.sqlite").severity, Severity::kBlock);
  EXPECT_EQ(r.outcome.report.GetVerdict(), Verdict::kBlocked);
}

TEST_F(LinuxGuest, ContestedFileUnpackedAnewWithTheBytesItHadIsReported) {
  Install(s_.ours, {"tool", "1.2", {{"/usr/bin/tool", "tool 1.2"}, {"/usr/share/t/d", "d 1"}}, ""});
  s_.ours.Attributes("/usr/share/t/d") = s_.base.Attributes("/usr/share/t/d");
  Install(s_.theirs,
          {"tool", "1.3", {{"/usr/bin/tool", "tool 1.3"}, {"/usr/share/t/d", "d 1.3"}}, ""});
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/share/t/d"), "d 1.3");
  EXPECT_EQ(r.Entry("/usr/share/t/d").action, Action::kEqual);
}

TEST_F(LinuxGuest, ContestedFilesAreSavedOnlyWhereTheOwnerEditedThem) {
  const std::map<std::string, std::string> files = {{"/usr/bin/tool", "tool 1.2"},
                                                    {"/usr/share/t/d", "d 1.2"}};
  Install(s_.ours, {"tool", "1.2", files, ""});
  std::string sums;
  for (const auto& [path, content] : files) {
    Md5 md5;
    md5.Add(AsBytes(content));
    sums += std::move(md5).Finish() + "  " + path.substr(1) + "\n";
  }
  Put(s_.ours, "/var/lib/dpkg/info/tool.md5sums", sums);
  Put(s_.ours, "/usr/share/t/d", "edited");
  Install(s_.theirs, {"tool", "1.3", {{"/usr/bin/tool", "tool 1.3"}, {"/usr/share/t/d", "d"}}, ""});
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/share/t/d"), "d");
  ASSERT_EQ(r.outcome.rescues.size(), 1u);
  EXPECT_EQ(r.outcome.rescues[0].path, "/usr/share/t/d");
  EXPECT_EQ(r.Entry("/usr/share/t/d").severity, Severity::kWarn);
  EXPECT_EQ(r.Entry("/usr/bin/tool").severity, Severity::kInfo);
  EXPECT_FALSE(r.tree.Has("/var/lib/dpkg/info/tool.md5sums"));
}

TEST_F(LinuxGuest, ContestedPackageOfOursReplacesFilesOnlyTheirsChanged) {
  Install(s_.ours, {"tool", "2.0", {{"/usr/bin/tool", "tool 2"}, {"/usr/share/t/d", "d 1"}}, ""});
  Install(s_.theirs, {"tool",
                      "1.1",
                      {{"/usr/bin/tool", "tool 1.1"}, {"/usr/share/t/d", "d 1.1"}, {"/usr/n", "n"}},
                      ""});
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/bin/tool"), "tool 2");
  EXPECT_EQ(r.tree.Content("/usr/share/t/d"), "d 1");
  EXPECT_FALSE(r.tree.Has("/usr/n"));
  EXPECT_THAT(r.tree.Content("/var/lib/dpkg/status"), HasSubstr("Version: 2.0\n"));
}

TEST_F(LinuxGuest, PackageRemovedByOursUpgradedByTheirsStaysWhole) {
  Remove(s_.ours, {"tool", "", {{"/usr/bin/tool", ""}, {"/usr/share/t/d", ""}}, ""});
  Install(s_.theirs,
          {"tool", "1.1", {{"/usr/bin/tool", "tool 1.1"}, {"/usr/share/t/d", "d 1"}}, ""});
  RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/bin/tool"), "tool 1.1");
  EXPECT_EQ(r.tree.Content("/usr/share/t/d"), "d 1");
  EXPECT_TRUE(r.tree.Has(List("tool")));
  EXPECT_THAT(r.tree.Content("/var/lib/dpkg/status"), HasSubstr("Package: tool\n"));
  EXPECT_EQ(r.FindEntry("tool", Topic::kPackage)->severity, Severity::kWarn);

  r = Rebase("/var/lib/dpkg/info/tool.list delmod=delete\n");
  EXPECT_FALSE(r.tree.Has("/usr/bin/tool"));
  EXPECT_FALSE(r.tree.Has(List("tool")));
  EXPECT_THAT(r.tree.Content("/var/lib/dpkg/status"), Not(HasSubstr("Package: tool\n")));
}

TEST_F(LinuxGuest, PackageUpgradedByOursRemovedByTheirsStaysWhole) {
  Install(s_.ours, {"tool", "1.1", {{"/usr/bin/tool", "tool 1.1"}, {"/usr/share/t/d", "d 1"}}, ""});
  Remove(s_.theirs, {"tool", "", {{"/usr/bin/tool", ""}, {"/usr/share/t/d", ""}}, ""});
  s_.theirs.Remove("/usr/share/t");
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/bin/tool"), "tool 1.1");
  EXPECT_EQ(r.tree.Content("/usr/share/t/d"), "d 1");
  EXPECT_THAT(r.tree.Content("/var/lib/dpkg/status"), HasSubstr("Version: 1.1\n"));
}

// As libraries of a release are renamed in the next one. VMs have installed updates of the old
// name.
TEST_F(LinuxGuest, PackageUpgradedByOneSideAndReplacedByTheOtherGoes) {
  const FakePackage update = {"libx", "1.1", {{"/usr/lib/libx.so", "libx 1.1"}}, ""};
  const FakePackage renamed = {
      "libx2",
      "2.0",
      {{"/usr/lib/libx.so", "libx 2"}},
      "Replaces: libx\nBreaks: libx (<< 2), other (<< 5)\nProvides: libx (= 2.0)\n"};
  for (const Side updated_by : {Side::kOurs, Side::kTheirs}) {
    s_.Branch();
    const bool ours = updated_by == Side::kOurs;
    Install(ours ? s_.ours : s_.theirs, update);
    Remove(ours ? s_.theirs : s_.ours, {"libx", "", {{"/usr/lib/libx.so", ""}}, ""});
    Install(ours ? s_.theirs : s_.ours, renamed);
    const RebaseResult r = Rebase();
    EXPECT_EQ(r.tree.Content("/usr/lib/libx.so"), "libx 2");
    EXPECT_FALSE(r.tree.Has(List("libx")));
    EXPECT_TRUE(r.tree.Has(List("libx2")));
    EXPECT_THAT(r.tree.Content("/var/lib/dpkg/status"), Not(HasSubstr("Package: libx\n")));
    const ReportEntry* unit = r.FindEntry("libx", Topic::kPackage);
    ASSERT_NE(unit, nullptr);
    EXPECT_EQ(unit->action, ours ? Action::kTheirs : Action::kOurs);
    EXPECT_EQ(unit->severity, Severity::kNotice);
    EXPECT_THAT(unit->detail, HasSubstr("libx2 replaces it"));
    EXPECT_EQ(r.FindEntry("libx2", Topic::kDependency), nullptr);
  }
}

// What replaces older versions only does not take the place of a newer one.
TEST_F(LinuxGuest, PackageThatIsNewerThanWhatIsReplacedStays) {
  Install(s_.ours, {"libx", "3.0", {{"/usr/lib/libx.so", "libx 3"}}, ""});
  Remove(s_.theirs, {"libx", "", {{"/usr/lib/libx.so", ""}}, ""});
  Install(s_.theirs, {"libx2",
                      "2.0",
                      {{"/usr/lib/libx2.so", "libx 2"}},
                      "Replaces: libx (<< 2)\nConflicts: libx (<< 2)\n"});
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/lib/libx.so"), "libx 3");
  EXPECT_EQ(r.FindEntry("libx", Topic::kPackage)->severity, Severity::kWarn);
}

TEST_F(LinuxGuest, LocalEditOfAnUpgradedPackageGivesWayAndIsSaved) {
  Put(s_.ours, "/usr/bin/tool", "edited");
  Install(s_.theirs, {"tool", "1.1", {{"/usr/bin/tool", "tool 1.1"}}, ""});
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/bin/tool"), "tool 1.1");
  EXPECT_EQ(r.Entry("/usr/bin/tool").severity, Severity::kWarn);
  EXPECT_EQ(r.Entry("/usr/bin/tool").package, "tool");
  ASSERT_EQ(r.outcome.rescues.size(), 1u);
  EXPECT_EQ(r.outcome.rescues[0].side, Side::kOurs);
}

TEST_F(LinuxGuest, ListsThroughSymbolicLinks) {
  s_.base.Symlink("/bin", "usr/bin");
  s_.Branch();
  for (auto [tree, version] : {std::pair(&s_.ours, "3"), std::pair(&s_.theirs, "2")}) {
    Install(*tree, {"sh", version, {{"/usr/bin/sh", std::string("sh ") + version}}, ""});
    Put(*tree, List("sh"), "/.\n/bin/sh\n");
  }
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/usr/bin/sh"), "sh 3");
  EXPECT_EQ(r.Entry("/usr/bin/sh").package, "sh");
  EXPECT_EQ(r.outcome.report.GetVerdict(), Verdict::kClean);
}

TEST_F(LinuxGuest, BrokenDependencyIsAnError) {
  Install(s_.ours, {"app", "1", {{"/usr/bin/app", "app"}}, "Depends: libx (<< 2)\n"});
  Install(s_.theirs, {"libx", "2.0", {{"/usr/lib/libx.so", "libx 2"}}, ""});
  const RebaseResult r = Rebase();
  const ReportEntry* broken = r.FindEntry("app", Topic::kDependency);
  ASSERT_NE(broken, nullptr);
  EXPECT_EQ(broken->severity, Severity::kError);
  EXPECT_THAT(broken->detail, HasSubstr("Depends: libx (<< 2)"));
}

TEST_F(LinuxGuest, AccountsAreRenumberedEverywhere) {
  Put(s_.ours, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:100::/run:/x\n");
  Put(s_.ours, "/etc/group", "root:x:0:\nsshd:x:100:\n");
  Put(s_.theirs, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nbus:x:100:100::/run:/x\n");
  Put(s_.theirs, "/etc/group", "root:x:0:\nbus:x:100:\n");
  Put(s_.ours, "/var/lib/sshd/key", "key");
  s_.ours.Attributes("/var/lib/sshd/key").uid = 100;
  s_.ours.Attributes("/var/lib/sshd/key").gid = 100;
  const std::string acl("\2\0\0\0\1\0\6\0\377\377\377\377\2\0\4\0\144\0\0\0", 20);
  s_.ours.Attributes("/var/lib/sshd/key").xattrs[std::string(kAccessAcl)] = acl;
  s_.ours.Attributes("/usr/bin/tool").gid = 100;
  Put(s_.theirs, "/var/lib/bus/id", "id");
  s_.theirs.Attributes("/var/lib/bus/id").uid = 100;
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/etc/passwd"),
            "root:x:0:0:root:/root:/bin/bash\n"
            "sshd:x:999:999::/run:/x\nbus:x:100:100::/run:/x\n");
  const guest::Attributes& key = r.tree.At("/var/lib/sshd/key").object.attributes;
  EXPECT_EQ(key.uid, 999u);
  EXPECT_EQ(key.gid, 999u);
  EXPECT_EQ(key.xattrs.at(std::string(kAccessAcl)).substr(16), std::string("\347\3\0\0", 4));
  EXPECT_EQ(r.tree.At("/usr/bin/tool").object.attributes.gid, 999u);
  EXPECT_EQ(r.tree.At("/var/lib/bus/id").object.attributes.uid, 100u);
  EXPECT_EQ(r.FindEntry("sshd", Topic::kAccount)->action, Action::kRenumbered);
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kNotice);
}

TEST_F(LinuxGuest, PeopleWithOneNumberAreAnError) {
  Put(s_.ours, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/x\n");
  Put(s_.theirs, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000::/home/bob:/x\n");
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.FindEntry("ann", Topic::kAccount)->severity, Severity::kError);
  EXPECT_THAT(r.tree.Content("/etc/passwd"), HasSubstr("ann:x:1000"));
}

TEST_F(LinuxGuest, AlternativesFollowTheWinner) {
  const std::string head = "auto\n/usr/bin/editor\neditor.1\n/usr/share/man/editor.1\n\n";
  const std::string ed = "/bin/ed\n-100\n/man/ed.1\n";
  Put(s_.base, "/var/lib/dpkg/alternatives/editor", head + ed + "\n");
  s_.base.MakeParents("/etc/alternatives/x");
  s_.base.Symlink("/etc/alternatives/editor", "/bin/ed");
  s_.base.Symlink("/etc/alternatives/editor.1", "/man/ed.1");
  s_.Branch();
  auto add = [&](FakeTree& tree, const std::string& choice, const std::string& path) {
    Put(tree, "/var/lib/dpkg/alternatives/editor", head + ed + choice + "\n");
    tree.Remove("/etc/alternatives/editor");
    tree.Symlink("/etc/alternatives/editor", path);
    tree.Remove("/etc/alternatives/editor.1");
  };
  add(s_.ours, "/usr/bin/vim\n30\n\n", "/usr/bin/vim");
  add(s_.theirs, "/bin/nano\n40\n/man/nano.1\n", "/bin/nano");
  s_.theirs.Symlink("/etc/alternatives/editor.1", "/man/nano.1");
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.At("/etc/alternatives/editor").object.symlink_target, "/bin/nano");
  EXPECT_EQ(r.tree.At("/etc/alternatives/editor.1").object.symlink_target, "/man/nano.1");
  EXPECT_THAT(r.tree.Content("/var/lib/dpkg/alternatives/editor"), HasSubstr("/usr/bin/vim\n30\n"));
  EXPECT_EQ(r.outcome.report.GetVerdict(), Verdict::kClean);
}

TEST_F(LinuxGuest, ConfigurationFilesMergeAsText) {
  Put(s_.base, "/etc/ssh/sshd_config", "a\nb\nc\nd\n");
  Put(s_.base, "/etc/machine-id", "");
  s_.Branch();
  Put(s_.ours, "/etc/ssh/sshd_config", "A\nb\nc\nd\n");
  Put(s_.theirs, "/etc/ssh/sshd_config", "a\nb\nc\nD\n");
  Put(s_.ours, "/etc/machine-id", "1234\n");
  Put(s_.theirs, "/etc/machine-id", "5678\n");
  Put(s_.ours, "/swapfile", "swap");
  const RebaseResult r = Rebase();
  EXPECT_EQ(r.tree.Content("/etc/ssh/sshd_config"), "A\nb\nc\nD\n");
  EXPECT_EQ(r.tree.Content("/etc/machine-id"), "1234\n");
  EXPECT_FALSE(r.tree.Has("/swapfile"));
  EXPECT_EQ(r.outcome.report.GetVerdict(), Verdict::kClean);
}

}  // namespace
}  // namespace mica::rebase
