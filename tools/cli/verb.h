// SPDX-License-Identifier: Apache-2.0
// The frame of every verb of the command line. A verb is one cmd_<verb>.cc with an Add<Verb>
// function (declared in verbs.h, listed in verbs.cc) that registers a subcommand and returns how to
// run it; the options live in a struct that the returned function owns.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/async/event_loop.h"
#include "engine/io/runtime.h"
#include "tools/cli/exit_status.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace CLI {
class App;
}  // namespace CLI

namespace mica {

// What a running verb may use. Borrowed: all of it outlives the verb.
struct Context {
  EventLoop& loop;
  Host& host;
  IoEngineKind io;  // what the command line asked for, for further threads
  Output& output;
  ProgressMode progress;
};

// The fixed words of a verb's --help. String literals.
struct VerbText {
  std::string_view name;
  std::string_view summary;   // one line, no full stop
  std::string_view synopsis;  // what follows "mica NAME "
  std::string_view notes;     // paragraphs under the options, exit codes of its own; may be empty
};

struct Verb {
  CLI::App* command;  // owned by the program's App
  // Not a coroutine: guest file systems are read synchronously. A verb that is all block I/O wraps
  // its coroutine in SyncWait(context.loop, …). An error is printed as "mica: MESSAGE"; its message
  // names the file, what was expected, what was found and what helps.
  std::function<Result<ExitStatus>(Context&)> run;
  // Replaced by verbs that keep qemu-img's numbers.
  ExitStatus (*status_of_error)(const Error&) = &ExitStatusOf;
  ExitStatus status_of_bad_usage = ExitStatus::kUsage;
};

// A subcommand with the help layout and the synopsis that all verbs share. main adds the common
// options.
CLI::App* AddSubcommand(CLI::App& program, const VerbText& text);

// The line of `app` that says how it is called, given by SetUsage.
void SetUsage(CLI::App& app, const std::string& line);
std::string UsageLine(const CLI::App& app);

// -n, --dry-run.
void AddDryRun(CLI::App& command, bool& dry_run, const std::string& what_is_shown);

// An option that names an image's format; probed when it is not given.
void AddFormat(CLI::App& command, const std::string& names, std::optional<std::string>& format,
               const std::string& whose);

// An option or positional that takes a size (parse.h).
void AddSize(CLI::App& command, const std::string& names, std::optional<uint64_t>& bytes,
             const std::string& description);

}  // namespace mica
