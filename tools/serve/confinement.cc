// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/confinement.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "engine/base/unique_fd.h"

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

struct ReleaseFilter {
  void operator()(void* filter) const noexcept { seccomp_release(filter); }
};

Error SeccompError(int result, std::string_view what) {
  return ErrnoError(-result, fmt::format("seccomp: {}", what));
}

Result<void> FilterSystemCalls() {
  const std::unique_ptr<void, ReleaseFilter> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (filter == nullptr) return Error{Errc::kIo, "seccomp: out of memory"};
  // Threads that exist already (of an I/O engine) are bound as well.
  if (const int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); result != 0) {
    return SeccompError(result, "all threads");
  }
  for (const char* const name : kAllowedCalls) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call < 0) continue;
    if (const int result = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0); result != 0) {
      return SeccompError(result, name);
    }
  }
  if (const int result = seccomp_load(filter.get()); result != 0) {
    return SeccompError(result, "load");
  }
  return {};
}

// glibc has no wrappers for these.
int CreateRuleset(const landlock_ruleset_attr* attributes, size_t size, uint32_t flags) {
  return static_cast<int>(::syscall(SYS_landlock_create_ruleset, attributes, size, flags));
}

// Files may be used anywhere, as exports may be added from anywhere, but not executed.
Result<void> ForbidExecution() {
  if (CreateRuleset(nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) return {};  // no Landlock
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs =
      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
  const UniqueFd rules(CreateRuleset(&attributes, sizeof attributes, 0));
  if (!rules) return ErrnoError(errno, "landlock_create_ruleset");
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) {
    return ErrnoError(errno, "landlock_restrict_self");
  }
  return {};
}

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
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoError(errno, "no new privileges");
  TRY(ForbidExecution());
  return FilterSystemCalls();
}

}  // namespace mica
