// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "engine/async/sync_wait.h"
#include "formats/open_commit.h"
#include "tools/cli/chain_job_run.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "commit",
    .summary = "Fold a delta into its parent and empty it",
    .synopsis = "[-n] FILE",
    .notes =
        "The parent must not be sealed: a sealed one may have other deltas, which this would "
        "ruin.\n"
        "`mica create --unsealed -b PARENT` makes a delta that can be committed. Neither image "
        "may\n"
        "be in use. When this is interrupted FILE reads as before and commit can be run again;\n"
        "the parent alone is a mixture until then."};

struct CommitOptions {
  std::string file;
  bool dry_run = false;
};

Async<ChainJobTotals> RunJob(Context& context, const OpenedCommit& opened, JobMode mode) {
  ChainJobRun run(context, "commit", opened.delta->info().size);
  ChainJobOptions options = run.Options(mode);
  const CommitImages images = opened.images();
  CO_ASSIGN(const ChainJobTotals totals, co_await Commit(context.loop, images, std::move(options)));
  run.Finish(totals);
  co_return totals;
}

Async<ExitStatus> RunCommit(Context& context, const CommitOptions& options) {
  const JobMode mode = options.dry_run ? JobMode::kMeasure : JobMode::kDo;
  CO_ASSIGN(OpenedCommit opened, co_await OpenForCommit(context.host, options.file, mode));
  ChainJobResult result;
  result.file = options.file;
  result.parent = opened.parent_path.native();
  result.done = fmt::format("folded into {}", opened.parent_path.native());
  result.dry_run = options.dry_run;
  CO_ASSIGN(result.totals, co_await RunJob(context, opened, mode));
  CO_TRY(co_await CloseCommit(opened));
  Tell(result, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddCommit(CLI::App& program) {
  const auto options = std::make_shared<CommitOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddDryRun(*command, options->dry_run, "Read everything, tell what would be copied");
  command->add_option("FILE", options->file, "The delta")->required();
  return {command, [options](Context& context) {
            return SyncWait(context.loop, RunCommit(context, *options));
          }};
}

}  // namespace mica
