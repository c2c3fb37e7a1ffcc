// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/rebase/job/rebase_switch.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "rollback",
    .summary = "Undo the last rebase of a VM",
    .synopsis = "VM",
    .notes =
        "The VM must be shut down. It gets the delta back that its last rebase kept; the\n"
        "rebased one is kept as VM.undone-N."};

struct RollbackOptions {
  std::string vm;
};

Result<ExitStatus> Rollback(Context& context, const RollbackOptions& options) {
  ASSIGN(const rebase::RollbackOutcome outcome, rebase::RunRollback(context.host, options.vm));
  if (context.output.json()) {
    context.output.Document({{"vm", options.vm},
                             {"restored_from", outcome.restored_from.string()},
                             {"undone", outcome.undone.string()}});
  } else {
    context.output.Note(
        fmt::format("{} is what was kept as {} again; the rebased delta is kept as {}", options.vm,
                    outcome.restored_from.string(), outcome.undone.string()));
  }
  return ExitStatus::kDone;
}

}  // namespace

Verb AddRollback(CLI::App& program) {
  const auto options = std::make_shared<RollbackOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("VM", options->vm, "A VM's delta")->required();
  return {command, [options](Context& context) { return Rollback(context, *options); }};
}

}  // namespace mica
