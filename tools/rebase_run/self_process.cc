// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/self_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "tools/guest/spawn.h"

namespace mica {

namespace {

constexpr const char* kSelf = "/proc/self/exe";
constexpr size_t kInputBytesMax = size_t{32} << 10;  // what a socket holds without a reader

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

// Numbered above the standard streams, so that no duplicate overwrites another's source.
Result<Pipe> MoveUp(const int (&ends)[2]) {
  const UniqueFd read(ends[0]);
  const UniqueFd write(ends[1]);
  Pipe pipe{UniqueFd(::fcntl(read.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1)),
            UniqueFd(::fcntl(write.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1))};
  if (!pipe.read || !pipe.write) return ErrnoError(errno, "make a pipe");
  return pipe;
}

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe");
  return MoveUp(ends);
}

void SendTo(int socket, std::string_view bytes) noexcept {
  // A reader that has gone is no reason for a signal.
  const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  static_cast<void>(sent);  // its end tells
}

// A socket, for SendTo. Records: what is sent later is not read as a part of this.
Result<Pipe> InputWith(const std::string& text) {
  if (text.size() > kInputBytesMax) {
    return Error{Errc::kLimit, fmt::format("a request of {} bytes for a worker process: expected "
                                           "at most {}; use shorter paths or fewer policies",
                                           text.size(), kInputBytesMax)};
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "make a socket");
  }
  ASSIGN(Pipe pipe, MoveUp(ends));
  SendTo(pipe.write.get(), text);
  return pipe;
}

int MillisecondsUntil(const std::optional<std::chrono::steady_clock::time_point>& deadline) {
  if (!deadline) return -1;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      *deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count() + 1, 0, 1'000'000));
}

}  // namespace

std::string ProcessEnd::Misfortune() const {
  if (timed_out) return "took longer than it may and was killed";
  if (signal == 0) return "";
  return fmt::format("ended by signal {} ({})", signal, ::strsignal(signal));
}

SelfProcess::SelfProcess(int pid, UniqueFd in, Stream out, Stream err, size_t output_bytes_max)
    : pid_(pid),
      in_(std::move(in)),
      out_(std::move(out)),
      err_(std::move(err)),
      output_bytes_max_(output_bytes_max) {}

SelfProcess::SelfProcess(SelfProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      in_(std::move(other.in_)),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)),
      output_bytes_max_(other.output_bytes_max_) {}

SelfProcess::~SelfProcess() {
  if (pid_ == 0) return;
  Kill();
  Reap();
}

Result<SelfProcess> SelfProcess::Start(const SelfProcessRequest& request) {
  ASSIGN(Pipe input, InputWith(request.input));
  ASSIGN(Pipe out, MakePipe());
  Pipe err;
  guest::Spawn spawn;
  spawn.LeadGroup();
  spawn.Give(input.read.get(), STDIN_FILENO);
  spawn.Give(out.write.get(), STDOUT_FILENO);
  if (request.own_stderr) {
    ASSIGN(err, MakePipe());
    spawn.Give(err.write.get(), STDERR_FILENO);
  }
  for (const UniqueFd* fd : {&out.read, &err.read}) {
    if (*fd) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  }
  std::vector<std::string> words = request.arguments;
  words.insert(words.begin(), "mica");
  ASSIGN(const pid_t child, spawn.Start(kSelf, std::move(words)));
  if (!request.keep_input) input.write.Close();
  return SelfProcess(child, std::move(input.write), Stream{std::move(out.read), {}},
                     Stream{std::move(err.read), {}}, request.output_bytes_max);
}

void SelfProcess::Send(std::string_view bytes) noexcept {
  SendTo(in_.get(), bytes);
}

void SelfProcess::Drain(Stream& stream) const {
  std::array<char, 65536> buffer{};
  while (stream.fd) {
    const ssize_t got = ::read(stream.fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      stream.fd.Close();
      return;
    }
    const size_t room = output_bytes_max_ - stream.text.size();
    stream.text.append(buffer.data(), std::min(room, static_cast<size_t>(got)));
  }
}

bool SelfProcess::Pump() {
  Drain(out_);
  Drain(err_);
  return out_.fd || err_.fd;
}

void SelfProcess::Kill() noexcept {
  if (pid_ != 0) ::kill(-pid_, SIGKILL);
}

ProcessEnd SelfProcess::Reap() {
  int status = 0;
  rusage usage{};
  while (::wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  ProcessEnd end;
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (WIFEXITED(status)) end.exit_status = WEXITSTATUS(status);
  end.peak_memory_mib = static_cast<double>(usage.ru_maxrss) / 1024;
  return end;
}

ProcessEnd SelfProcess::Run(std::optional<std::chrono::steady_clock::time_point> deadline) {
  bool timed_out = false;
  while (Pump()) {
    std::array<pollfd, 2> waiting{{{output_fd(), POLLIN, 0}, {error_fd(), POLLIN, 0}}};
    const int ready = ::poll(waiting.data(), waiting.size(), MillisecondsUntil(deadline));
    if (ready == 0 && deadline && std::chrono::steady_clock::now() >= *deadline) {
      timed_out = true;
      Kill();
      break;
    }
  }
  ProcessEnd end = Reap();
  end.timed_out = timed_out;
  return end;
}

}  // namespace mica
