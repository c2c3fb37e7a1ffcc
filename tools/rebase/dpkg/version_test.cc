// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/version.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include <random>
#include <string>

namespace mica::rebase {
namespace {

TEST(CompareVersions, PolicyExamples) {
  const char* const ascending[] = {"1.0~~",   "1.0~~a", "1.0~",   "1.0",    "1.0-0+x", "1.0-1",
                                   "1.0-1.1", "1.0a",   "1.0+b1", "1.00.1", "1.2",     "1.10",
                                   "2-1",     "2.0",    "1:0.1",  "10:0"};
  for (size_t i = 0; i < std::size(ascending); ++i) {
    for (size_t j = 0; j < std::size(ascending); ++j) {
      EXPECT_EQ(CompareVersions(ascending[i], ascending[j]), i <=> j)
          << ascending[i] << " " << ascending[j];
    }
  }
  EXPECT_EQ(CompareVersions("1.0", "1.0-0"), std::strong_ordering::equal);
  EXPECT_EQ(CompareVersions("0:1.0", "1.00"), std::strong_ordering::equal);
}

int Dpkg(const std::string& a, const char* relation, const std::string& b) {
  const char* const argv[] = {"dpkg", "--compare-versions", a.c_str(), relation, b.c_str(),
                              nullptr};
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  char* const empty_environment[] = {nullptr};
  const int error = posix_spawnp(&child, "dpkg", &quiet, nullptr, const_cast<char* const*>(argv),
                                 empty_environment);
  posix_spawn_file_actions_destroy(&quiet);
  if (error != 0) return -1;
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST(CompareVersions, AgreesWithDpkg) {
  if (Dpkg("1", "eq", "1") != 0) GTEST_SKIP() << "no dpkg on this machine";
  std::mt19937 random(20240501);
  const std::string alphabet = "0011259ab~+.-:Z";
  auto version = [&] {
    std::string text(1, static_cast<char>('0' + random() % 10));
    for (size_t length = random() % 7; length > 0; --length) {
      text += alphabet[random() % alphabet.size()];
    }
    return text;
  };
  int compared = 0;
  while (compared < 200) {
    const std::string a = version();
    const std::string b = random() % 8 == 0 ? a : version();
    // An epoch is a number, and dpkg refuses a version that is empty after it.
    if (a.find(':') != std::string::npos || b.find(':') != std::string::npos) continue;
    if (a.back() == '-' || b.back() == '-') continue;
    ++compared;
    const auto order = CompareVersions(a, b);
    const char* relation = order < 0 ? "lt" : order > 0 ? "gt" : "eq";
    EXPECT_EQ(Dpkg(a, relation, b), 0) << a << " " << relation << " " << b;
  }
}

}  // namespace
}  // namespace mica::rebase
