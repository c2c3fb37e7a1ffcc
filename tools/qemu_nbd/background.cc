// SPDX-License-Identifier: Apache-2.0
#include "tools/qemu_nbd/background.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace mica {

namespace {

constexpr char kReadyMark = '\n';

// One pipe carries what the child says on stderr, the other one byte when it is ready.
[[noreturn]] void WaitForReady(const UniqueFd& errors, const UniqueFd& ready) {
  std::array<char, 4096> text;
  for (;;) {
    const ssize_t count = ::read(errors.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    for (ssize_t at = 0; at < count;) {
      const ssize_t written =
          ::write(STDERR_FILENO, text.data() + at, static_cast<size_t>(count - at));
      if (written <= 0) break;
      at += written;
    }
  }
  char mark = 0;
  ssize_t count = 0;
  do {
    count = ::read(ready.get(), &mark, 1);
  } while (count < 0 && errno == EINTR);
  ::_exit(count == 1 ? 0 : 1);
}

Result<void> MakePipe(UniqueFd& read_end, UniqueFd& write_end) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  read_end = UniqueFd(ends[0]);
  write_end = UniqueFd(ends[1]);
  return {};
}

}  // namespace

Result<Background> Background::Enter() {
  UniqueFd errors;
  UniqueFd errors_end;
  UniqueFd ready;
  UniqueFd ready_end;
  TRY(MakePipe(errors, errors_end));
  TRY(MakePipe(ready, ready_end));
  const pid_t child = ::fork();
  if (child < 0) return ErrnoError(errno, "fork");
  if (child > 0) {
    errors_end.Close();
    ready_end.Close();
    WaitForReady(errors, ready);
  }
  ::setsid();
  UniqueFd old_stderr(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing) return ErrnoError(errno, "/dev/null");
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(nothing.get(), STDOUT_FILENO);
  ::dup2(errors_end.get(), STDERR_FILENO);
  return Background(std::move(ready_end), std::move(old_stderr));
}

void Background::Ready(Stderr afterwards) {
  (void)!::write(ready_.get(), &kReadyMark, 1);
  if (afterwards == Stderr::kKept) {
    ::dup2(old_stderr_.get(), STDERR_FILENO);
  } else {
    const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ::dup2(nothing.get(), STDERR_FILENO);
  }
  old_stderr_.Close();
  ready_.Close();
}

}  // namespace mica
