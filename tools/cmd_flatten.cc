// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "engine/async/sync_wait.h"
#include "engine/jobs/flatten.h"
#include "formats/open_chain.h"
#include "tools/cli/chain_job_run.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "flatten",
    .summary = "Copy into a delta what its parents show through, and detach it from them",
    .synopsis = "[-n] FILE",
    .notes =
        "Afterwards FILE stands alone and the guest sees the same. Zeroes are not stored. FILE "
        "must\n"
        "not be in use. When this is interrupted FILE is a valid delta of its parent as before,\n"
        "and flatten can be run again."};

struct FlattenOptions {
  std::string file;
  bool dry_run = false;
};

Async<ChainJobTotals> RunJob(Context& context, ImageChain& chain, JobMode mode) {
  ChainJobRun run(context, "flatten", chain.info().size);
  ChainJobOptions options = run.Options(mode);
  CO_ASSIGN(const ChainJobTotals totals, co_await Flatten(context.loop, chain, std::move(options)));
  run.Finish(totals);
  co_return totals;
}

Async<ExitStatus> RunFlatten(Context& context, const FlattenOptions& options) {
  OpenChainOptions open;
  open.writable = !options.dry_run;
  CO_ASSIGN(const std::unique_ptr<ImageChain> chain,
            co_await OpenChain(context.host, options.file, open));
  if (!chain->layer(0).info().parent) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: expected a delta over a parent, found an image that stands "
                                "alone already",
                                options.file)};
  }
  const JobMode mode = options.dry_run ? JobMode::kMeasure : JobMode::kDo;
  ChainJobResult result;
  result.file = options.file;
  result.done = "flattened";
  result.dry_run = options.dry_run;
  CO_ASSIGN(result.totals, co_await RunJob(context, *chain, mode));
  CO_TRY(co_await chain->Close());
  Tell(result, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddFlatten(CLI::App& program) {
  const auto options = std::make_shared<FlattenOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddDryRun(*command, options->dry_run, "Read everything, tell what would be copied");
  command->add_option("FILE", options->file, "The delta")->required();
  return {command, [options](Context& context) {
            return SyncWait(context.loop, RunFlatten(context, *options));
          }};
}

}  // namespace mica
