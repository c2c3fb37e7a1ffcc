// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/rebase_run/confirm_run.h"
#include "tools/rebase_run/fleet_options.h"
#include "tools/rebase_run/fleet_run.h"
#include "tools/rebase_run/rebase_conflicts.h"
#include "tools/rebase_run/rebase_stage.h"
#include "tools/rebase_run/rebase_verify.h"
#include "tools/rebase_run/stage_run.h"
#include "tools/sandbox/sandbox.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "rebase",
    .summary = "Carry a VM's own changes onto a patched master, file by file",
    .synopsis =
        "VM --onto MASTER [-o OUT] [--policy FILE]... [--report FILE] [-n]\n"
        "       mica rebase [-j N] [--job FOLDER] --onto MASTER VM... | --pool FILE\n"
        "       mica rebase --stage | --unstage [-j N] VM... --onto MASTER [--control PATH]\n"
        "       mica rebase --show-conflict REPORT [PATH [--to FOLDER]]\n"
        "       mica rebase --verify REPORT [--policy FILE]...",
    .notes =
        "The VM must be shut down; what --stage has done before then need not be done again.\n"
        "With --control the server that exports the VM gives it away when its clients have left\n"
        "(--wait) and exports it again, whatever happens.\n"
        "The result is proven (a second diff against the plan, e2fsck) before the VM is\n"
        "switched to it; the old delta is kept beside it as VM.before-N, and the old master must\n"
        "stay, until the rebase is confirmed (mica confirm, --keep-days).\n"
        "Interrupted anywhere, the VM has its old disk.\n"
        "Losing versions of files that both sides changed are saved in VM.rescue/. The report has\n"
        "one JSON record a line and a summary; without --report it is VM.report.jsonl (but none\n"
        "is written with -n, which is `mica fit`).\n"
        "Several VMs, patterns or a pool file make a job: one process for each VM, a journal in\n"
        "the job's folder, and report.json and report.html there at the end. Run again after an\n"
        "interruption, the same command does what is left.\n"
        "--show-conflict lists the conflicts of a report: what either side did, which was taken,\n"
        "where the loser is. With a PATH inside the image the content of the loser goes to\n"
        "stdout, after a check of its digest; with --to base, ours and theirs go to a new folder.\n"
        "--verify plans the rebase anew from the delta it kept and compares everything with the\n"
        "report; exit status 3 says that only the result has changed since, as the VM has run.\n"
        "Exit status 3: there are conflicts to look at; the report lists them. With an error as\n"
        "one of them the result is not switched to, but kept as VM.quarantine."};

struct RebaseOptions {
  RebaseRequest request;
  FleetOptions fleet;
  std::string verify;
  ConflictRequest conflict;
  std::optional<int> ends_with;
  bool stage = false;
  bool unstage = false;
  bool dry_run = false;
};

// The words that are VMs otherwise.
Result<ExitStatus> Show(Context& context, ConflictRequest request, const RebaseOptions& options) {
  const std::vector<std::string>& words = options.fleet.vms;
  if (words.size() > 1 || !options.request.onto.empty()) {
    return Error{Errc::kInvalidArgument,
                 "--show-conflict takes a report and at most one PATH inside the image"};
  }
  if (!words.empty()) request.path = words.front();
  if (request.path.empty() && !request.folder.empty()) {
    return Error{Errc::kInvalidArgument, "--to needs a PATH inside the image"};
  }
  return ShowConflict(context, request);
}

Result<ExitStatus> StageMany(Context& context, const RebaseOptions& options) {
  StageRunRequest request;
  ASSIGN(request.vms, ExpandVms(options.fleet.vms, options.fleet.pool));
  request.each = options.request;
  request.action = options.stage ? StageAction::kStage : StageAction::kUnstage;
  request.workers = options.fleet.workers.value_or(1);
  return RunStageOfMany(context, request);
}

Result<ExitStatus> Rebase(Context& context, const RebaseOptions& options) {
  if (options.ends_with) TRY(DieWith(*options.ends_with));
  if (!options.conflict.report.empty()) return Show(context, options.conflict, options);
  RebaseRequest request = options.request;
  if (!options.conflict.folder.empty()) {
    return Error{Errc::kInvalidArgument, "--to belongs to --show-conflict REPORT PATH"};
  }
  if (!options.verify.empty()) {
    if (!options.fleet.vms.empty() || !request.onto.empty()) {
      return Error{Errc::kInvalidArgument, "--verify takes VM and master from the report"};
    }
    return RunVerify(context, {options.verify, request.policies, request.limits});
  }
  if (request.onto.empty() && !options.unstage) {
    return Error{Errc::kInvalidArgument,
                 "expected --onto MASTER (or --verify REPORT, --show-conflict REPORT)"};
  }
  if (IsFleet(options.fleet)) {
    if (options.dry_run || !request.output.empty() || !request.report.empty()) {
      return Error{Errc::kInvalidArgument,
                   "-o, --report and -n are for one VM; to look at many, use mica fit"};
    }
    if (options.stage || options.unstage) return StageMany(context, options);
    ASSIGN(const FleetRequest fleet, MakeFleetRequest(options.fleet, request));
    return RunFleet(context, fleet);
  }
  request.vm = options.fleet.vms.front();
  if (options.dry_run) {
    ASSIGN(const Prediction prediction, Predict(context, request));
    context.output.Text(context.output.json() ? prediction.json : prediction.text);
    return prediction.status;
  }
  if (options.stage || options.unstage) {
    if (!request.output.empty() || !request.report.empty()) {
      return Error{Errc::kInvalidArgument,
                   "--stage and --unstage take neither -o nor --report: the rebase that finishes "
                   "what is staged does"};
    }
    return options.stage ? RunStage(context, request) : RunUnstage(context, request);
  }
  if (request.report.empty()) {
    request.report = (request.output.empty() ? request.vm : request.output) + ".report.jsonl";
  }
  ASSIGN(const ExitStatus status, RunRebase(context, request));
  if (options.fleet.keep_days) {
    rebase::ConfirmOptions confirm;
    confirm.older_than = std::chrono::days(*options.fleet.keep_days);
    ConfirmAll(context, {request.vm}, confirm, ConfirmTalk::kComplaints);
  }
  return status;
}

}  // namespace

Verb AddRebase(CLI::App& program) {
  const auto options = std::make_shared<RebaseOptions>();
  RebaseRequest& request = options->request;
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("--onto", request.onto, "The patched, sealed master")->type_name("MASTER");
  command->add_option("-o", request.output, "Write the new delta here and leave the VM's as it is")
      ->type_name("OUT");
  command->add_option("--policy", request.policies, "Rules on top of the built-in ones")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->add_option("--report", request.report, "Where the report goes")->type_name("FILE");
  command->add_flag("--skip-check", request.skip_check,
                    "Leave out e2fsck; the second diff is still made");
  command->add_flag("--summary", request.summary, "Print no more than the summary");
  command->add_option("--verify", options->verify, "Check a rebase of a VM against its report")
      ->type_name("REPORT");
  command
      ->add_option("--show-conflict", options->conflict.report,
                   "List the conflicts of a rebase, or print the loser of one")
      ->type_name("REPORT");
  command
      ->add_option("--to", options->conflict.folder,
                   "Of --show-conflict: a new folder for all versions of PATH")
      ->type_name("FOLDER");
  AddDryRun(*command, options->dry_run, "Tell what would be reported, write nothing");
  constexpr const char* kRunning = "A VM that is running";
  command
      ->add_flag("--stage", options->stage,
                 "Do ahead what can be done ahead, from a snapshot; repeat at will")
      ->group(kRunning);
  command->add_flag("--unstage", options->unstage, "Forget what was staged")->group(kRunning);
  command
      ->add_option("--control", request.control,
                   "Control socket of the server that exports the VM: it takes the snapshot, and "
                   "exports the VM again after the switch")
      ->type_name("PATH")
      ->group(kRunning);
  command
      ->add_option("--wait", request.wait_seconds,
                   "Without --stage: how long to wait for the VM to be off; 0 by default")
      ->type_name("SECONDS")
      ->group(kRunning);
  command->add_option("--ends-with", options->ends_with, "End when that process does")->group("");
  AddFleetOptions(*command, options->fleet);
  AddWorkerOptions(*command, request.limits);
  return {command, [options](Context& context) { return Rebase(context, *options); }};
}

}  // namespace mica
