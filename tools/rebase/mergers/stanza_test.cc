// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/stanza.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Package(const std::string& name, const std::string& version,
                    const std::string& more = "") {
  return "Package: " + name +
         "\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version + "\n" + more +
         "Description: a package\n with text\n .\n and more\n\n";
}

TEST(Stanza, RoundTrip) {
  const std::string text =
      "Package: adduser\nConffiles:\n /etc/adduser.conf cc34\n /etc/deluser.conf 11a0\n"
      "Description: add\n users\n";
  EXPECT_EQ(Stanza::Parse(text).Format(), text);
  EXPECT_EQ(Stanza::Parse(text).Get("Package"), "adduser");
}

TEST(MergePackages, InstallsOnBothSides) {
  const std::string base = Package("acl", "1") + Package("zlib", "1");
  const MergeOutput output =
      MergePackageStanzas({"/var/lib/dpkg/status",
                           base,
                           Package("acl", "1") + Package("less", "5") + Package("zlib", "1"),
                           Package("acl", "2") + Package("curl", "7") + Package("zlib", "1"),
                           {}});
  EXPECT_EQ(*output.merged, Package("acl", "2") + Package("less", "5") + Package("curl", "7") +
                                Package("zlib", "1"));
  EXPECT_TRUE(output.conflicts.empty());
}

TEST(MergePackages, HigherVersionAsAWhole) {
  const MergeOutput output = MergePackageStanzas({"/var/lib/dpkg/status",
                                                  Package("a", "1"),
                                                  Package("a", "1.2", "Depends: x\n"),
                                                  Package("a", "1.10", "Depends: y\n"),
                                                  {}});
  EXPECT_EQ(*output.merged, Package("a", "1.10", "Depends: y\n"));
}

TEST(MergePackages, TheContextDecidesEvenAboutAbsence) {
  MergeInput input = {"/var/lib/dpkg/status", "", "", "", {}};
  const std::string base = Package("a", "1");
  const std::string theirs = Package("a", "2");
  input.base = base;
  input.theirs = theirs;
  input.context.side_of = [](std::string_view, std::string_view) { return Side::kOurs; };
  EXPECT_EQ(*MergePackageStanzas(input).merged, "");
  input.context.side_of = [](std::string_view, std::string_view) { return Side::kTheirs; };
  EXPECT_EQ(*MergePackageStanzas(input).merged, theirs);
}

TEST(MergePackages, SeveralArchitecturesOfOneName) {
  auto multi = [](const std::string& architecture, const std::string& version) {
    return "Package: libc6\nArchitecture: " + architecture + "\nVersion: " + version + "\n\n";
  };
  const MergeOutput output = MergePackageStanzas({"/var/lib/dpkg/status",
                                                  multi("amd64", "1"),
                                                  multi("amd64", "1") + multi("i386", "1"),
                                                  multi("amd64", "2"),
                                                  {}});
  EXPECT_EQ(*output.merged, multi("amd64", "2") + multi("i386", "1"));
}

TEST(MergePackages, FieldsWhereTheVersionIsOne) {
  const MergeOutput output = MergePackageStanzas(
      {"/var/lib/dpkg/status",
       "Package: a\nStatus: install ok installed\nVersion: 1\n\n",
       "Package: a\nStatus: hold ok installed\nVersion: 1\n\n",
       "Package: a\nStatus: install ok installed\nVersion: 1\nTriggers-Pending: x\n\n",
       {}});
  EXPECT_THAT(*output.merged, HasSubstr("Status: hold ok installed\n"));
  EXPECT_THAT(*output.merged, HasSubstr("Triggers-Pending: x\n"));
}

TEST(MergeDebconf, AnEmptyAnswerIsAnAnswer) {
  const MergeOutput output = MergeDebconf({"/var/cache/debconf/config.dat",
                                           "Name: a/b\nValue: \nOwners: a\n\n",
                                           "Name: a/b\nValue: \nOwners: a, o\n\n",
                                           "Name: a/b\nValue: \nOwners: a, t\n\n",
                                           {}});
  EXPECT_THAT(*output.merged, HasSubstr("Value: \n"));
}

TEST(MergeDebconf, OwnersAreASet) {
  const MergeOutput output =
      MergeDebconf({"/var/cache/debconf/config.dat",
                    "Name: a/b\nTemplate: a/b\nOwners: a\n\n",
                    "Name: a/b\nTemplate: a/b\nValue: yes\nOwners: a, o\nFlags: seen\n\n",
                    "Name: a/b\nTemplate: a/b\nOwners: a, t\n\nName: t/t\nOwners: t\n\n",
                    {}});
  EXPECT_THAT(*output.merged, HasSubstr("Owners: a, t, o\n"));
  EXPECT_THAT(*output.merged, HasSubstr("Value: yes\n"));
  EXPECT_THAT(*output.merged, HasSubstr("Name: t/t\n"));
  EXPECT_TRUE(output.conflicts.empty());
}

}  // namespace
}  // namespace mica::rebase
