// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>

#include "tools/rebase_run/rebase_worker.h"

namespace mica {
namespace {

constexpr VerbText kText{.name = "worker",
                         .summary = "A confined process of rebase and fit",
                         .synopsis = "<REQUEST",
                         .notes = "Started by `mica rebase` and `mica fit`; not for people."};

constexpr size_t kRequestBytesMax = size_t{64} << 10;

Result<ExitStatus> Worker(Context& context) {
  std::string request(kRequestBytesMax, '\0');
  ssize_t got = 0;
  do {
    got = ::read(STDIN_FILENO, request.data(), request.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) return ErrnoError(errno, "standard input: read");
  request.resize(static_cast<size_t>(got));
  return RunWorker(context, request);
}

}  // namespace

Verb AddWorker(CLI::App& program) {
  CLI::App* command = AddSubcommand(program, kText);
  command->group("");  // not shown
  return {command, [](Context& context) { return Worker(context); }};
}

}  // namespace mica
