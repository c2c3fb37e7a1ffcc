// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/confinement.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tools/sandbox/sandbox.h"

namespace mica {

namespace {

// By name: what this build's libseccomp or this architecture does not know is left out.
constexpr std::array kAllowedCalls = {
    // files
    "access", "chdir", "chmod", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3",
    "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fcntl",
    "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "ioctl",
    "link", "linkat", "lseek", "lstat", "newfstatat", "open", "openat", "openat2", "pread64",
    "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
    "readlinkat", "readv", "rename", "renameat", "renameat2", "stat", "statfs", "statx",
    "sync_file_range", "umask", "unlink", "unlinkat", "utimensat", "write", "writev",
    // waiting and asynchronous I/O
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2",
    "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
    "io_uring_enter", "io_uring_register", "io_uring_setup", "pipe2", "poll", "ppoll",
    // sockets
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recvfrom", "recvmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socket", "socketpair",
    // memory and threads
    "brk", "clone", "clone3", "exit", "exit_group", "futex", "gettid", "madvise", "membarrier",
    "memfd_create", "mmap", "mprotect", "mremap", "munmap", "rseq", "sched_getaffinity",
    "sched_yield", "set_robust_list", "tgkill",
    // the rest
    "clock_getres", "clock_gettime", "clock_nanosleep", "getegid", "geteuid", "getgid", "getpid",
    "getppid", "getrandom", "getrlimit", "gettimeofday", "getuid", "nanosleep", "prctl",
    "prlimit64", "restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "sysinfo", "uname"};

}  // namespace

Result<UserIds> FindUser(const std::string& name) {
  const passwd* const entry = ::getpwnam(name.c_str());
  if (entry == nullptr) {
    return Error{Errc::kInvalidArgument, fmt::format("there is no user '{}'", name)};
  }
  return UserIds{.user = entry->pw_uid, .group = entry->pw_gid};
}

Result<void> BecomeUser(const std::string& name) {
  ASSIGN(const UserIds ids, FindUser(name));
  if (::geteuid() == ids.user) return {};
  if (::initgroups(name.c_str(), ids.group) != 0 || ::setgid(ids.group) != 0 ||
      ::setuid(ids.user) != 0) {
    return ErrnoError(errno, fmt::format("become user '{}'", name));
  }
  return {};
}

Result<void> EnterSandbox() {
  TRY(ForbidNewPrivileges());
  // Files may be used anywhere, as exports may be added from anywhere, but not executed.
  FileRights rights;
  rights.write_anywhere = true;
  TRY(AllowOnlyFiles(rights));
  return AllowOnlyCalls(kAllowedCalls);
}

}  // namespace mica
