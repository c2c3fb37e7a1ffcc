// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/rebase_run/fit_run.h"
#include "tools/rebase_run/fleet_options.h"
#include "tools/rebase_run/lint_run.h"
#include "tools/rebase_run/rebase_front.h"
#include "tools/rebase_run/rebase_policy.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "fit",
    .summary = "Predict a rebase without writing anything",
    .synopsis =
        "VM... | --pool FILE --onto MASTER [--policy FILE]... [--rules FILE]...\n"
        "           [-j N] [--fail-on LEVEL] [--unclassified]\n"
        "       mica fit --explain PATH [--policy FILE]...\n"
        "       mica fit --lint [FILE]... [--policy FILE]...",
    .notes =
        "Shows what `mica rebase` would report, and what fit rules find among the VM's own\n"
        "changes: kernel modules, boot configuration, replaced libraries and the like. Of several\n"
        "VMs a ranking, the worst first. Levels: low (a warning: both sides wanted something\n"
        "else, the loser would be saved; or a rule of that severity), medium (an error: the\n"
        "result would be quarantined), high (no result could be made).\n"
        "--unclassified shows instead where the VMs changed what no policy rule speaks of, as\n"
        "patterns to write rules with.\n"
        "--explain PATH shows the rules that decide about a path and needs no images.\n"
        "--lint judges policy files, as a stack in that order on top of the built-in one and of\n"
        "--policy; without a FILE the built-in one. Exit status 1: a file would be refused; 3: a\n"
        "rule can never decide, matches nothing or contradicts itself; 0: nothing, or notices.\n"
        "Exit status 4: a fit is as bad as --fail-on, or worse."};

struct FitOptions {
  RebaseRequest request;
  std::vector<std::string> vms;
  std::string pool;
  size_t workers = 1;
  std::optional<rebase::FitLevel> fail_on;
  std::string explain;
  bool lint = false;
  bool unclassified = false;
};

const std::map<std::string, rebase::FitLevel> kLevels = {{"low", rebase::FitLevel::kLow},
                                                         {"medium", rebase::FitLevel::kMedium},
                                                         {"high", rebase::FitLevel::kHigh}};

Result<ExitStatus> FitMany(Context& context, const FitOptions& options) {
  FitRunRequest run;
  ASSIGN(run.vms, ExpandVms(options.vms, options.pool));
  run.each = options.request;
  run.workers = options.workers;
  run.fail_on = options.fail_on;
  run.unclassified = options.unclassified;
  return RunFit(context, run);
}

Result<ExitStatus> Fit(Context& context, const FitOptions& options) {
  RebaseRequest request = options.request;
  if (options.lint) {
    if (!request.onto.empty() || !options.explain.empty()) {
      return Error{Errc::kInvalidArgument, "--lint looks at policy files, not at VMs or paths"};
    }
    return RunLint(context, {options.vms, request.policies});
  }
  if (!options.explain.empty()) {
    ASSIGN(const rebase::Policy policy, LoadPolicy(request.policies));
    context.output.Text(policy.Explain(options.explain, rebase::PathKind::kOther));
    return ExitStatus::kDone;
  }
  if ((options.vms.empty() && options.pool.empty()) || request.onto.empty()) {
    return Error{Errc::kInvalidArgument,
                 "expected VMs and --onto MASTER (or --explain PATH, --lint FILE)"};
  }
  const bool many = options.vms.size() != 1 || !options.pool.empty();
  if (many || options.unclassified || IsPattern(options.vms.front())) {
    return FitMany(context, options);
  }
  request.vm = options.vms.front();
  ASSIGN(const Prediction prediction, Predict(context, request));
  if (prediction.json.empty()) return prediction.status;
  context.output.Text(context.output.json() ? prediction.json : prediction.text);
  const bool too_bad = options.fail_on && FitLevelOf(prediction.json) >= *options.fail_on;
  return too_bad ? ExitStatus::kFitWorse : ExitStatus::kDone;
}

}  // namespace

Verb AddFit(CLI::App& program) {
  const auto options = std::make_shared<FitOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("--onto", options->request.onto, "The patched, sealed master")
      ->type_name("MASTER");
  command->add_option("--policy", options->request.policies, "Rules on top of the built-in ones")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->add_option("--rules", options->request.rules, "Fit rules beside the built-in ones")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->add_option("--fail-on", options->fail_on, "low, medium or high")
      ->transform(CLI::CheckedTransformer(kLevels).description(""))
      ->type_name("LEVEL");
  command->add_option("--explain", options->explain, "A path inside the image")->type_name("PATH");
  command->add_flag("--unclassified", options->unclassified,
                    "Where VMs changed what no policy rule speaks of");
  command->add_flag("--lint", options->lint, "What is wrong in policy files");
  AddWorkerOptions(*command, options->request.limits);
  command->add_option("-j", options->workers, "VMs at a time; 1 by default")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command->add_option("--pool", options->pool, "VMs, a path or pattern a line")->type_name("FILE");
  command->add_option("VM", options->vms, "Deltas of VMs, or patterns; of --lint policy files");
  return {command, [options](Context& context) { return Fit(context, *options); }};
}

}  // namespace mica
