// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "formats/registry.h"
#include "tools/cli/measuring_device.h"
#include "tools/cli/output_text.h"
#include "tools/cli/parse.h"
#include "tools/copy_run.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "convert",
    .summary = "Copy what the guest sees in one image into a new one",
    .synopsis = "[-f FMT] -O FMT [-o KEY=VALUE,...] [-b PARENT [-F FMT]] [-n] [--force] SRC DST",
    .notes =
        "Zeroes are not stored. With -b only the blocks that differ from PARENT are; PARENT must\n"
        "be sealed and is named as seen from the working directory. DST appears when it is\n"
        "complete and synced; until then it has a temporary name beside it."};

struct ConvertOptions {
  CopySource source;
  std::string format;
  std::vector<std::string> extra;
  std::string destination;
  bool dry_run = false;
  bool force = false;

  [[nodiscard]] OnExisting on_existing() const {
    return force ? OnExisting::kReplace : OnExisting::kRefuse;
  }
};

Async<CopyTotals> CopyInto(Context& context, const CopyInputs& inputs, BlockDevice& target) {
  return RunCopy(context, "convert", inputs, target);
}

Async<CopyTotals> Measure(Context& context, const CopyInputs& inputs) {
  MeasuringDevice target(inputs.source->info().size);
  co_return co_await CopyInto(context, inputs, target);
}

Async<CopyTotals> FillImage(Context& context, const ConvertOptions& options,
                            const CopyInputs& inputs, std::filesystem::path path) {
  OpenChainOptions open;
  open.writable = true;
  open.format = options.format;
  CO_ASSIGN(const std::unique_ptr<ImageChain> target, co_await OpenChain(context.host, path, open));
  Result<CopyTotals> totals = co_await CopyInto(context, inputs, *target);
  const Result<void> closed = co_await target->Close();
  if (totals && !closed) co_return closed.error();
  co_return totals;  // of two errors, that of the copy is the one to tell
}

Async<CopyTotals> WriteImage(Context& context, const ConvertOptions& options,
                             const CopyInputs& inputs, CreateOptions create) {
  CO_ASSIGN(const ImageFormat* const format, FindFormat(options.format));
  TemporaryFile file(options.destination);
  const Result<void> created = co_await format->Create(context.host, file.path(), create);
  if (!created) co_return file.InTermsOfDestination(created.error());
  const Result<CopyTotals> totals = co_await FillImage(context, options, inputs, file.path());
  if (!totals) co_return file.InTermsOfDestination(totals.error());
  CO_TRY(co_await file.Publish(context.host, options.on_existing()));
  co_return totals;
}

Result<CreateOptions> NewImageOptions(const ConvertOptions& options, const CopyInputs& inputs) {
  CreateOptions create;
  create.virtual_size = inputs.source->info().size;
  for (const std::string& pairs : options.extra) TRY(ParseKeyValues(pairs, create.extra));
  if (inputs.parent.chain) {
    ASSIGN(create.parent, ReferenceTo(inputs.parent, options.destination));
  }
  return create;
}

void Tell(const ConvertOptions& options, const CopyTotals& totals, Output& output) {
  if (!output.json()) {
    output.Note(fmt::format("{}: {} {} of {}", options.destination,
                            options.dry_run ? "would store" : "stored",
                            FormatBytes(totals.written_bytes), FormatBytes(totals.examined_bytes)));
    return;
  }
  output.Document({{"filename", options.destination},
                   {"format", options.format},
                   {"virtual-size", totals.examined_bytes},
                   {"written-bytes", totals.written_bytes},
                   {"zeroed-bytes", totals.zeroed_bytes},
                   {"dry-run", options.dry_run}});
}

Async<ExitStatus> Convert(Context& context, const ConvertOptions& options) {
  CO_TRY(FindFormat(options.format));
  CO_TRY(co_await CheckImageDestination(context.host, options.destination, options.on_existing()));
  CO_ASSIGN(CopyInputs inputs, co_await OpenInputs(context.host, options.source));
  CO_ASSIGN(const CreateOptions create, NewImageOptions(options, inputs));
  CopyTotals totals;
  if (options.dry_run) {
    CO_ASSIGN(totals, co_await Measure(context, inputs));
  } else {
    CO_ASSIGN(totals, co_await WriteImage(context, options, inputs, create));
  }
  CO_TRY(co_await CloseInputs(inputs));
  Tell(options, totals, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddConvert(CLI::App& program) {
  const auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->source.format, "Format of SRC");
  command->add_option("-O,--output-format", options->format, "Format of DST: mica or raw")
      ->type_name("FMT")
      ->required();
  command->add_option("-o", options->extra, "Options of the format")
      ->type_name("KEY=VALUE,...")
      ->allow_extra_args(false);
  command->add_option("-b,--parent", options->source.parent, "The sealed image to build DST on")
      ->type_name("PARENT");
  AddFormat(*command, "-F,--parent-format", options->source.parent_format, "Format of PARENT");
  AddDryRun(*command, options->dry_run, "Read everything, tell what would be stored");
  command->add_flag("--force", options->force, "Replace DST if it exists, unless it is sealed");
  command->add_option("SRC", options->source.file, "The image to copy")->required();
  command->add_option("DST", options->destination, "The new image")->required();
  return {command, [options](Context& context) {
            return SyncWait(context.loop, Convert(context, *options));
          }};
}

}  // namespace mica
