// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "engine/async/sync_wait.h"
#include "engine/jobs/reparent.h"
#include "tools/cli/chain_job_run.h"
#include "tools/cli/image_file.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "reparent",
    .summary = "Put a delta on another parent and keep what its guest sees",
    .synopsis = "-b PARENT [-F FMT] [-n] FILE",
    .notes =
        "As `qemu-img rebase` in its safe mode: blocks in which the two parents differ are copied\n"
        "into FILE, so the guest sees the same as before, without any patch in PARENT. To carry\n"
        "the guest's changes over to a patched master use `mica rebase`. PARENT must be sealed "
        "and\n"
        "may have another size. When this is interrupted FILE is a valid delta of one of the two,\n"
        "and reparent can be run again."};

struct ReparentOptions {
  std::string parent;
  std::optional<std::string> parent_format;
  std::string file;
  bool dry_run = false;
};

Result<void> CheckFiles(const ReparentOptions& options) {
  std::error_code failed;
  if (!std::filesystem::equivalent(options.parent, options.file, failed)) return {};
  return Error{Errc::kInvalidArgument,
               fmt::format("{}: an image cannot be its own parent", options.file)};
}

Async<ChainJobTotals> RunJob(Context& context, ImageChain& chain, NewParent parent, JobMode mode) {
  ChainJobRun run(context, "reparent", chain.info().size);
  ChainJobOptions options = run.Options(mode);
  CO_ASSIGN(const ChainJobTotals totals,
            co_await Reparent(context.loop, chain, parent, std::move(options)));
  run.Finish(totals);
  co_return totals;
}

Async<ExitStatus> RunReparent(Context& context, const ReparentOptions& options) {
  CO_TRY(CheckFiles(options));
  CO_ASSIGN(const OpenParentImage parent,
            co_await OpenParent(context.host, options.parent, options.parent_format));
  OpenChainOptions open;
  open.writable = !options.dry_run;
  CO_ASSIGN(const std::unique_ptr<ImageChain> chain,
            co_await OpenChain(context.host, options.file, open));
  CO_ASSIGN(const ParentReference reference, ReferenceTo(parent, options.file));
  const NewParent target{*parent.chain, reference};
  const JobMode mode = options.dry_run ? JobMode::kMeasure : JobMode::kDo;
  ChainJobResult result;
  result.file = options.file;
  result.parent = reference.path;
  result.done = fmt::format("put on {}", options.parent);
  result.dry_run = options.dry_run;
  CO_ASSIGN(result.totals, co_await RunJob(context, *chain, target, mode));
  CO_TRY(co_await chain->Close());
  CO_TRY(co_await parent.chain->Close());
  Tell(result, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddReparent(CLI::App& program) {
  const auto options = std::make_shared<ReparentOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("-b,--parent", options->parent, "The sealed image to put FILE on")
      ->type_name("PARENT")
      ->required();
  AddFormat(*command, "-F,--parent-format", options->parent_format, "Format of PARENT");
  AddDryRun(*command, options->dry_run, "Compare everything, tell what would be copied");
  command->add_option("FILE", options->file, "The delta")->required();
  return {command, [options](Context& context) {
            return SyncWait(context.loop, RunReparent(context, *options));
          }};
}

}  // namespace mica
