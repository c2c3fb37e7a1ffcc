// SPDX-License-Identifier: Apache-2.0
// The program: parses the command line, makes what a verb runs on, runs it, prints its error.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <vector>

#include "engine/io/runtime.h"
#include "tools/cli/common_options.h"
#include "tools/cli/temporary_file.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr const char* kDescription =
    "mica: copy-on-write virtual disks. Many machines share one sealed master; each owns a small\n"
    "delta; a patched master reaches every machine by a file-level rebase.";
constexpr const char* kFooter =
    "Sizes take K M G T, powers of 1024. Formats are mica and raw; an image's format is probed\n"
    "unless -f is given. stdout is data, stderr is talk.\n"
    "Exit status: 0 done, 1 error, 2 usage, 3 conflicts left for a person, 4 fit worse than\n"
    "--fail-on, 5 in use or fenced, 6 parent is not the recorded one, 7 no space. check and "
    "compare\n"
    "have qemu-img's; see their --help.";

int Status(ExitStatus status) {
  return static_cast<int>(status);
}

const Verb* ChosenVerb(const std::vector<Verb>& verbs) {
  for (const Verb& verb : verbs) {
    if (verb.command->parsed()) return &verb;
  }
  return nullptr;
}

int ReportBadUsage(const CLI::App& program, const Verb* verb, std::string_view what) {
  PrintError(verb == nullptr ? std::string(what)
                             : fmt::format("{}: {}", verb->command->get_name(), what));
  const CLI::App& app = verb == nullptr ? program : *verb->command;
  const std::string name = verb == nullptr ? "mica" : fmt::format("mica {}", app.get_name());
  PrintLine(fmt::format("{}\ntry '{} --help'", UsageLine(app), name));
  return Status(verb == nullptr ? ExitStatus::kUsage : verb->status_of_bad_usage);
}

// What helps, for kinds of which the place where they arise cannot say more.
std::string_view HintFor(const Error& error) {
  if (error.message.find("; ") != std::string::npos) return "";  // it has said it
  if (error.code == Errc::kBusy) {
    return "; try again when it has been closed (`fuser -v FILE` tells who has it)";
  }
  return error.code == Errc::kNoSpace ? "; make room and try again: nothing was left behind" : "";
}

int RunVerb(const CLI::App& program, const Verb& verb, const CommonOptions& options) {
  Output output(options.output);
  Result<ExitStatus> ended = ExitStatus::kError;
  Result<std::unique_ptr<Runtime>> runtime = MakePosixRuntime(options.io);
  if (runtime) {
    Context context{(*runtime)->loop(), (*runtime)->host(), options.io, output, options.progress};
    ended = verb.run(context);
  } else {
    ended = std::move(runtime).error();
  }
  const Result<void> flushed = output.Flush();
  if (ended && !flushed) ended = flushed.error();
  if (ended) return Status(*ended);
  const ExitStatus status = verb.status_of_error(ended.error());
  if (ExitStatusOf(ended.error()) == ExitStatus::kUsage) {
    return ReportBadUsage(program, &verb, ended.error().message);
  }
  PrintError(fmt::format("{}{}", ended.error().message, HintFor(ended.error())));
  return Status(status);
}

int Main(int argc, char** argv) {
  InstallProgressSignal();
  RemoveTemporaryFilesOnSignal();
  CommonOptions options;
  CLI::App program(kDescription, "mica");
  SetUsage(program, "usage: mica VERB [OPTION]... ARGUMENT...");
  program.footer(kFooter);
  program.require_subcommand(0, 1);
  program.set_version_flag("--version", "mica " MICA_VERSION, "Print the version and leave");
  AddCommonOptions(program, options);
  std::vector<Verb> verbs;
  for (const AddVerb add : AllVerbs()) {
    verbs.push_back(add(program));
    AddCommonOptions(*verbs.back().command, options);
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return program.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    return ReportBadUsage(program, ChosenVerb(verbs), error.what());
  }
  const Verb* verb = ChosenVerb(verbs);
  if (verb == nullptr) return ReportBadUsage(program, nullptr, "expected a verb, found none");
  return RunVerb(program, *verb, options);
}

}  // namespace
}  // namespace mica

int main(int argc, char** argv) {
  return mica::Main(argc, argv);
}
