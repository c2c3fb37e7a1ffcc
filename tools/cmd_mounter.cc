// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>

#include "tools/guest/mounted/mount_service.h"
#include "tools/mounter_process.h"
#include "tools/sandbox/sandbox.h"

namespace mica {
namespace {

constexpr VerbText kText{.name = "mounter",
                         .summary = "A process of rebase and fit that mounts",
                         .synopsis = "PARENT",
                         .notes =
                             "Started by a worker of `mica rebase --mount-volumes`; not for "
                             "people."};

// Mounts, and what is done with files in them. No network, no other programs, no processes.
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
    "brk", "clock_gettime", "exit", "exit_group", "futex", "getpid", "getppid", "gettid",
    "getrandom", "madvise", "mmap", "mprotect", "mremap", "munmap", "prctl", "rseq", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "sched_yield", "tgkill"};

struct MounterOptions {
  int parent = 0;
  bool no_sandbox = false;
};

Result<ExitStatus> Mount(const MounterOptions& options) {
  TRY(DieWith(options.parent));
  TRY(SetLimits({}));
  if (!options.no_sandbox) {
    TRY(ForbidNewPrivileges());
    TRY(AllowOnlyCalls(kMounterCalls));
  }
  TRY(guest::RunMountService(STDIN_FILENO));
  return ExitStatus::kDone;
}

}  // namespace

Verb AddMounter(CLI::App& program) {
  const auto options = std::make_shared<MounterOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->group("");  // not shown
  command->add_option("PARENT", options->parent, "The worker's process")->required();
  command->add_flag("--no-sandbox", options->no_sandbox, "");
  return {command, [options](Context&) { return Mount(*options); }};
}

}  // namespace mica
