// SPDX-License-Identifier: Apache-2.0
#include <linux/capability.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>

#include "tools/guest/mounted/mount_service.h"
#include "tools/rebase_run/mounter_process.h"
#include "tools/sandbox/sandbox.h"

namespace mica {
namespace {

constexpr VerbText kText{.name = "mounter",
                         .summary = "A process of rebase and fit that mounts",
                         .synopsis = "<REQUESTS",
                         .notes =
                             "Started by a worker of `mica rebase --mount-volumes`; not for "
                             "people."};

// Mounts, and what is done with files in them. No network, no other programs.
constexpr std::array kMounterCalls = {
    // mounts
    "fsconfig", "fsmount", "fsopen", "ioctl", "name_to_handle_at", "open_by_handle_at", "syncfs",
    "umount2",
    // files
    "access", "chmod", "close", "fallocate", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl",
    "fgetxattr", "flistxattr", "fstat", "fstatfs", "fsync", "ftruncate", "getdents64", "getxattr",
    "linkat", "listxattr", "lseek", "mkdirat", "mknodat", "newfstatat", "openat", "pread64",
    "pwrite64", "read", "readlink", "readlinkat", "removexattr", "renameat2", "sendmsg", "setxattr",
    "statfs", "statx", "symlinkat", "unlinkat", "utimensat", "write", "writev",
    // the rest
    "brk", "clock_gettime", "clone", "clone3", "eventfd2", "exit", "exit_group", "futex", "getpid",
    "gettid", "getrandom", "madvise", "mmap", "mprotect", "mremap", "munmap", "poll", "ppoll",
    "prctl", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_yield",
    "set_robust_list", "tgkill"};

// To mount, and to make every object with every attribute.
constexpr std::array kMounterCapabilities = {CAP_SYS_ADMIN,       CAP_CHOWN,   CAP_DAC_OVERRIDE,
                                             CAP_DAC_READ_SEARCH, CAP_FOWNER,  CAP_FSETID,
                                             CAP_MKNOD,           CAP_SETFCAP, CAP_LINUX_IMMUTABLE};

// Ends with its worker, whose end of the socket closes then. To be killed at that moment would do
// harm: see tools/guest/mounted/retry_guard.h.
Result<ExitStatus> Mount(bool sandbox) {
  TRY(SetLimits({}));
  if (sandbox) {
    TRY(ForbidNewPrivileges());
    TRY(KeepOnlyCapabilities(kMounterCapabilities));
    TRY(AllowOnlyCalls(kMounterCalls));
  }
  TRY(guest::RunMountService(STDIN_FILENO));
  return ExitStatus::kDone;
}

}  // namespace

Verb AddMounter(CLI::App& program) {
  const auto no_sandbox = std::make_shared<bool>(false);
  CLI::App* command = AddSubcommand(program, kText);
  command->group("");  // not shown
  command->add_flag("--no-sandbox", *no_sandbox, "");
  return {command, [no_sandbox](Context&) { return Mount(!*no_sandbox); }};
}

}  // namespace mica
