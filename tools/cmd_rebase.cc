// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/rebase/job/job.h"
#include "tools/rebase_output.h"
#include "tools/rebase_policy.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "rebase",
    .summary = "Carry a VM's own changes onto a patched master, file by file",
    .synopsis = "VM --onto MASTER [-o OUT] [--policy FILE]... [--report FILE] [-n]",
    .notes =
        "The VM must be shut down. The result is proven (a second diff against the plan, e2fsck)\n"
        "before the VM is switched to it; the old delta is kept beside it as VM.before-N, and the\n"
        "old master must stay until that is deleted. Interrupted anywhere, the VM has its old "
        "disk.\n"
        "Losing versions of files that both sides changed are saved in VM.rescue/. The report has\n"
        "one JSON record a line and a summary; without --report it goes to VM.report.jsonl (not "
        "with\n"
        "-n). -n is `mica fit`.\n"
        "Exit status 3: there are conflicts to look at; the report lists them. With an error "
        "among\n"
        "them the result is not switched to, but kept as VM.quarantine."};

struct RebaseOptions {
  std::string vm;
  std::string onto;
  std::string output;
  std::string report;
  std::vector<std::string> policies;
  bool skip_check = false;
  bool dry_run = false;
};

Result<ExitStatus> Rebase(Context& context, const RebaseOptions& options) {
  rebase::JobInput input;
  input.vm = options.vm;
  input.target = options.onto;
  ASSIGN(input.policy, LoadPolicy(options.policies));
  std::string report = options.report;
  Result<rebase::JobOutcome> outcome = Error{Errc::kCancelled, "not run"};
  if (options.dry_run) {
    outcome = rebase::PredictRebase(context.host, input);
  } else {
    if (report.empty())
      report = (options.output.empty() ? options.vm : options.output) + ".report.jsonl";
    rebase::JobOptions job;
    if (!options.output.empty()) job.output = options.output;
    if (options.skip_check) job.check = rebase::FileSystemCheck::kSkip;
    Progress progress(context.progress, "rebase", ProgressTotals{});
    job.progress = [&progress](const guest::ApplyProgress& done) {
      progress.SetGoal({.bytes = done.bytes_total, .files = done.objects_total});
      progress.Update({.bytes = done.bytes_done, .files = done.objects_done});
    };
    outcome = rebase::RunRebase(context.host, input, job);
  }
  if (!outcome) return std::move(outcome).error();
  if (!report.empty()) TRY(WriteReport(report, input, *outcome));
  PrintOutcome(context.output, *outcome);
  switch (outcome->report.GetVerdict()) {
    case rebase::Verdict::kClean:
      return ExitStatus::kDone;
    case rebase::Verdict::kConflicts:
      return ExitStatus::kConflicts;
    case rebase::Verdict::kBlocked:
      break;
  }
  return ExitStatus::kError;
}

}  // namespace

Verb AddRebase(CLI::App& program) {
  const auto options = std::make_shared<RebaseOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("--onto", options->onto, "The patched, sealed master")
      ->type_name("MASTER")
      ->required();
  command->add_option("-o", options->output, "Write the new delta here and leave the VM's as it is")
      ->type_name("OUT");
  command->add_option("--policy", options->policies, "Rules on top of the built-in ones")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->add_option("--report", options->report, "Where the report goes")->type_name("FILE");
  command->add_flag("--skip-check", options->skip_check,
                    "Leave out e2fsck; the second diff is still made");
  AddDryRun(*command, options->dry_run, "Tell what would be reported, write nothing");
  command->add_option("VM", options->vm, "A VM's delta")->required();
  return {command, [options](Context& context) { return Rebase(context, *options); }};
}

}  // namespace mica
