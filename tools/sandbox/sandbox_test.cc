// SPDX-License-Identifier: Apache-2.0
// Each case runs in a child, as none of it can be undone.
#include "tools/sandbox/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <new>

#include "engine/base/unique_fd.h"

namespace mica {
namespace {

[[maybe_unused]] constexpr std::array kFewCalls = {"exit_group", "read",   "write", "brk",
                                                   "mmap",       "munmap", "futex"};

// What `body` returns, as the exit status of a child; 128 + the signal when one ended it.
int InChild(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int OpenErrno(const std::string& path, int flags) {
  const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  return fd ? 0 : errno;
}

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "mica-sandbox-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
    std::filesystem::create_directory(path_ / "mine");
    EXPECT_EQ(OpenErrno(Path("file"), O_CREAT | O_RDWR), 0);
    EXPECT_EQ(OpenErrno(Path("other"), O_CREAT | O_RDWR), 0);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string Path(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

#if !defined(__SANITIZE_ADDRESS__)  // whose search for leaks makes calls of its own
TEST(Sandbox, OtherCallsFail) {
  EXPECT_EQ(InChild([] {
              if (!ForbidNewPrivileges() || !AllowOnlyCalls(kFewCalls)) return 1;
              return ::socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? 0 : 2;
            }),
            0);
}
#endif

TEST(Sandbox, OnlyNamedPlacesAreWritten) {
  const Folder folder;
  const int ended = InChild([&folder] {
    FileRights rights;
    rights.write = {folder.Path("mine"), folder.Path("file"), folder.Path("not there")};
    if (!ForbidNewPrivileges() || !AllowOnlyFiles(rights)) return 1;
    if (OpenErrno(folder.Path("other"), O_RDONLY) != 0) return 2;
    if (OpenErrno(folder.Path("other"), O_RDWR) != EACCES) return 3;
    if (OpenErrno(folder.Path("file"), O_RDWR) != 0) return 4;
    if (OpenErrno(folder.Path("mine/new"), O_CREAT | O_RDWR) != 0) return 5;
    if (OpenErrno(folder.Path("new"), O_CREAT | O_RDWR) != EACCES) return 6;
    if (::unlink(folder.Path("other").c_str()) == 0 || errno != EACCES) return 7;
    const std::string program = "/bin/true";
    ::execl(program.c_str(), program.c_str(), nullptr);
    return errno == EACCES ? 0 : 8;
  });
  EXPECT_EQ(ended, 0);
}

TEST(Sandbox, NamedProgramsRun) {
  const int ended = InChild([] {
    FileRights rights;
    rights.execute = {"/bin", "/usr", "/lib", "/lib64"};
    if (!ForbidNewPrivileges() || !AllowOnlyFiles(rights)) return 1;
    ::execl("/bin/true", "/bin/true", nullptr);
    return 2;
  });
  EXPECT_EQ(ended, 0);
}

TEST(Sandbox, MemoryEnds) {
  if (!MemoryCanBeLimited()) GTEST_SKIP() << "a sanitizer reserves too much";
  EXPECT_EQ(InChild([] {
              if (!SetLimits({.memory_bytes = uint64_t{256} << 20})) return 1;
              const std::unique_ptr<char[]> much(new (std::nothrow) char[size_t{512} << 20]);
              return much == nullptr ? 0 : 2;
            }),
            0);
}

TEST(Sandbox, TimeEnds) {
  const int ended = InChild([] {
    if (!SetLimits({.cpu_seconds = 1})) return 1;
    while (::getppid() != 0) {
    }
    return 2;
  });
  EXPECT_TRUE(ended == 128 + SIGXCPU || ended == 128 + SIGKILL) << ended;
}

TEST(Sandbox, RootKeepsOnlyReading) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  const Folder folder;
  std::filesystem::permissions(folder.Path("other"), std::filesystem::perms::none);
  ASSERT_EQ(::chown(folder.Path("other").c_str(), 12345, 12345), 0);
  const int ended = InChild([&folder] {
    if (!DropCapabilities()) return 1;
    if (OpenErrno(folder.Path("other"), O_RDONLY) != 0) return 2;
    if (OpenErrno(folder.Path("other"), O_RDWR) != EACCES) return 3;
    return ::chown(folder.Path("file").c_str(), 1, 1) != 0 && errno == EPERM ? 0 : 4;
  });
  EXPECT_EQ(ended, 0);
}

TEST(Sandbox, EndsWithTheParent) {
  EXPECT_EQ(InChild([] { return DieWith(::getppid()) ? 0 : 1; }), 0);
  EXPECT_EQ(InChild([] { return DieWith(1 << 30) ? 1 : 0; }), 0);
}

}  // namespace
}  // namespace mica
