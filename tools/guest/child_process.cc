// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "engine/base/unique_fd.h"
#include "tools/guest/spawn.h"

namespace mica::guest {

namespace {

constexpr const char* kFolders[] = {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"};

Result<std::string> FindProgram(const std::string& name) {
  for (const char* folder : kFolders) {
    std::string path = folder + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return Error{Errc::kNotFound, fmt::format("the program {} is not installed", name)};
}

// Lifted above the numbers the child uses, so that no duplicate overwrites another's source.
Result<UniqueFd> Lift(int fd) {
  UniqueFd lifted(::fcntl(fd, F_DUPFD_CLOEXEC, ChildRequest::kChildFd + 1));
  if (!lifted) return ErrnoError(errno, "duplicating a descriptor");
  return lifted;
}

Result<pid_t> Start(const ChildRequest& request, int output_fd) {
  ASSIGN(const std::string program, FindProgram(request.arguments.front()));
  Spawn spawn;
  spawn.GiveNothing(STDIN_FILENO);
  UniqueFd inherited;
  if (request.inherited_fd >= 0) {
    ASSIGN(inherited, Lift(request.inherited_fd));
    spawn.Give(inherited.get(), ChildRequest::kChildFd);
  }
  ASSIGN(const UniqueFd output, Lift(output_fd));
  spawn.Give(output.get(), STDOUT_FILENO);
  spawn.Give(output.get(), STDERR_FILENO);
  return spawn.Start(program, request.arguments);
}

// Reads to the end of the pipe; false when the deadline passes before.
bool ReadAll(int fd, const ChildRequest& request, ChildResult& result) {
  const auto deadline = std::chrono::steady_clock::now() + request.timeout;
  std::array<char, 65536> buffer{};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting{fd, POLLIN, 0};
    const int ready =
        ::poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left.count(), 1'000'000)));
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    const size_t room = request.output_bytes_max - result.output.size();
    const size_t kept = std::min(room, static_cast<size_t>(got));
    result.output.append(buffer.data(), kept);
    result.output_cut = result.output_cut || kept < static_cast<size_t>(got);
  }
}

}  // namespace

Result<ChildResult> RunChild(const ChildRequest& request) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "making a pipe");
  const UniqueFd from_child(ends[0]);
  UniqueFd to_us(ends[1]);
  ASSIGN(const pid_t child, Start(request, to_us.get()));
  to_us.Close();
  ChildResult result;
  const bool ended = ReadAll(from_child.get(), request, result);
  if (!ended) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    return Error{Errc::kLimit, fmt::format("{} did not end within {} seconds",
                                           request.arguments.front(), request.timeout.count())};
  }
  result.exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

}  // namespace mica::guest
