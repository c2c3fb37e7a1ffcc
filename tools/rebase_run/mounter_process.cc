// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/mounter_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "tools/guest/mounted/superblock.h"
#include "tools/guest/spawn.h"

namespace mica {

namespace {

constexpr const char* kSelf = "/proc/self/exe";
constexpr const char* kNeeded[] = {"/dev/fuse", "/dev/loop-control"};

Result<void> CheckHost() {
  if (::geteuid() != 0) {
    return Error{Errc::kUnsupported,
                 "--mount-volumes: expected root, whose right it is to mount, found another user; "
                 "without the option such volumes go by the block rule"};
  }
  for (const char* const device : kNeeded) {
    if (::access(device, R_OK | W_OK) == 0) continue;
    return ErrnoError(errno, fmt::format("--mount-volumes: expected {}; loading the kernel's "
                                         "modules fuse and loop may help",
                                         device));
  }
  return {};
}

}  // namespace

Result<std::vector<guest::VolumeKind>> ParseMountKinds(const std::vector<std::string>& names) {
  std::vector<guest::VolumeKind> kinds;
  for (const std::string& name : names) {
    for (const guest::VolumeKind kind : {guest::VolumeKind::kXfs, guest::VolumeKind::kBtrfs}) {
      if (guest::KernelNameOf(kind) == name) kinds.push_back(kind);
    }
    if (!kinds.empty() && guest::KernelNameOf(kinds.back()) == name) continue;
    return Error{Errc::kInvalidArgument,
                 fmt::format("--mount-volumes: expected xfs, btrfs or both, found '{}'", name)};
  }
  return kinds;
}

Result<std::unique_ptr<MounterProcess>> MounterProcess::Start(EventLoop& loop, bool sandbox) {
  TRY(CheckHost());
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return ErrnoError(errno, "make a pair of sockets");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoError(errno, "set up a socket");
  guest::Spawn spawn;
  spawn.Give(theirs.get(), STDIN_FILENO);
  spawn.GiveNothing(STDOUT_FILENO);
  // Not killed with this one, it ends by itself: it has mounts to take down.
  spawn.LeadGroup();
  std::vector<std::string> words = {"mica", "mounter", "--io=pread"};
  if (!sandbox) words.emplace_back("--no-sandbox");
  ASSIGN(const pid_t process, spawn.Start(kSelf, std::move(words)));
  std::unique_ptr<MounterProcess> mounter(new MounterProcess(process));
  // What this process serves is written back when memory is short: it must not wait for that
  // itself. Where it may not say so, that is as it was.
  ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  mounter->mounter_ = std::make_unique<guest::Mounter>(loop, std::move(ours));
  return mounter;
}

MounterProcess::~MounterProcess() {
  mounter_.reset();  // the end of its input
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace mica
