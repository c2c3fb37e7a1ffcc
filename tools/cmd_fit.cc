// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/rebase/job/job.h"
#include "tools/rebase_output.h"
#include "tools/rebase_policy.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "fit",
    .summary = "Predict a rebase without writing anything",
    .synopsis = "VM --onto MASTER [--policy FILE]... [--fail-on LEVEL] | --explain PATH",
    .notes =
        "Shows what `mica rebase` would report. Levels: low (a warning: both sides wanted "
        "something\n"
        "else, the loser would be saved), medium (an error: the result would be quarantined), "
        "high\n"
        "(no result could be made).\n"
        "--explain PATH shows the rules that decide about a path and needs no images.\n"
        "Exit status 4: the fit is as bad as --fail-on, or worse."};

struct FitOptions {
  std::string vm;
  std::string onto;
  std::vector<std::string> policies;
  std::optional<rebase::FitLevel> fail_on;
  std::string explain;
};

const std::map<std::string, rebase::FitLevel> kLevels = {{"low", rebase::FitLevel::kLow},
                                                         {"medium", rebase::FitLevel::kMedium},
                                                         {"high", rebase::FitLevel::kHigh}};

Result<ExitStatus> Fit(Context& context, const FitOptions& options) {
  rebase::JobInput input;
  input.vm = options.vm;
  input.target = options.onto;
  ASSIGN(input.policy, LoadPolicy(options.policies));
  if (!options.explain.empty()) {
    context.output.Text(input.policy.Explain(options.explain, rebase::PathKind::kOther));
    return ExitStatus::kDone;
  }
  if (options.vm.empty() || options.onto.empty()) {
    return Error{Errc::kInvalidArgument, "expected a VM and --onto MASTER (or --explain PATH)"};
  }
  ASSIGN(const rebase::JobOutcome outcome, rebase::PredictRebase(context.host, input));
  PrintOutcome(context.output, outcome);
  const bool too_bad = options.fail_on && outcome.report.GetFitLevel() >= *options.fail_on;
  return too_bad ? ExitStatus::kFitWorse : ExitStatus::kDone;
}

}  // namespace

Verb AddFit(CLI::App& program) {
  const auto options = std::make_shared<FitOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("--onto", options->onto, "The patched, sealed master")->type_name("MASTER");
  command->add_option("--policy", options->policies, "Rules on top of the built-in ones")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->add_option("--fail-on", options->fail_on, "low, medium or high")
      ->transform(CLI::CheckedTransformer(kLevels).description(""))
      ->type_name("LEVEL");
  command->add_option("--explain", options->explain, "A path inside the image")->type_name("PATH");
  command->add_option("VM", options->vm, "A VM's delta");
  return {command, [options](Context& context) { return Fit(context, *options); }};
}

}  // namespace mica
