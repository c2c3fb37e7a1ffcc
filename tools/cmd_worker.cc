// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>

#include "tools/rebase_run/rebase_worker.h"

namespace mica {
namespace {

constexpr VerbText kText{.name = "worker",
                         .summary = "A confined process of rebase and fit",
                         .synopsis = "<REQUEST",
                         .notes = "Started by `mica rebase` and `mica fit`; not for people."};

constexpr size_t kRequestBytesMax = size_t{1} << 20;

Result<ExitStatus> Worker(Context& context) {
  std::string request;
  std::array<char, 4096> buffer{};
  while (request.size() < kRequestBytesMax) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "standard input: read");
    if (got == 0) break;
    request.append(buffer.data(), static_cast<size_t>(got));
    if (request.ends_with('\n')) break;
  }
  return RunWorker(context, request);
}

}  // namespace

Verb AddWorker(CLI::App& program) {
  CLI::App* command = AddSubcommand(program, kText);
  command->group("");  // not shown
  return {command, [](Context& context) { return Worker(context); }};
}

}  // namespace mica
