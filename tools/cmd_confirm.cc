// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/cli/output_text.h"
#include "tools/rebase_run/confirm_run.h"
#include "tools/rebase_run/fleet_options.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "confirm",
    .summary = "Remove what rebases kept, once their VMs have proven themselves",
    .synopsis = "VM... | --pool FILE [--older-than DAYS] [-n]",
    .notes =
        "Removes VM.before-N, the deltas that rebases replaced, and VM.undone-N, those that\n"
        "rollbacks replaced: after that nothing can be undone. VM.rescue/ and reports stay. The "
        "VM\n"
        "may be running. Its current delta and all parents must open, else nothing is removed; "
        "nor\n"
        "is what is in use, or no delta. An old master may go when no delta stands on it any "
        "more.\n"
        "--older-than DAYS leaves what was replaced less than so many days ago: for a timer that\n"
        "cleans up a pool. Exit status 5: a rebase or rollback of the VM is running."};

struct ConfirmVerbOptions {
  std::vector<std::string> vms;
  std::string pool;
  std::optional<int> older_than;
  bool dry_run = false;
};

Result<ExitStatus> Confirm(Context& context, const ConfirmVerbOptions& options) {
  ASSIGN(const std::vector<std::string> vms, ExpandVms(options.vms, options.pool));
  if (vms.empty()) return Error{Errc::kInvalidArgument, "expected VMs or --pool FILE"};
  rebase::ConfirmOptions confirm;
  confirm.dry_run = options.dry_run;
  if (options.older_than) confirm.older_than = std::chrono::days(*options.older_than);
  const ConfirmTotals totals = ConfirmAll(context, vms, confirm, ConfirmTalk::kAll);
  if (context.output.json()) {
    context.output.Record({{"summary",
                            {{"vms", vms.size()},
                             {"dropped", totals.dropped},
                             {"bytes", totals.bytes},
                             {"failed", totals.failed}}}});
  } else {
    context.output.Note(fmt::format("{} kept deltas {}, {}", totals.dropped,
                                    options.dry_run ? "would be removed" : "removed",
                                    FormatBytes(totals.bytes)));
  }
  if (totals.failed == 0) return ExitStatus::kDone;
  return totals.busy == totals.failed ? ExitStatus::kBusy : ExitStatus::kError;
}

}  // namespace

Verb AddConfirm(CLI::App& program) {
  const auto options = std::make_shared<ConfirmVerbOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command
      ->add_option("--older-than", options->older_than,
                   "Only what was replaced at least so long ago")
      ->type_name("DAYS")
      ->check(CLI::Range(0, 36500));
  command->add_option("--pool", options->pool, "VMs, a path or pattern a line")->type_name("FILE");
  AddDryRun(*command, options->dry_run, "Tell what would be removed");
  command->add_option("VM", options->vms, "Deltas of VMs, or patterns");
  return {command, [options](Context& context) { return Confirm(context, *options); }};
}

}  // namespace mica
