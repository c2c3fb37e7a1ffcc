// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "tools/cli/output_text.h"
#include "tools/cli/space_image.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "compact",
    .summary = "Make an image's file as small as what it holds",
    .synopsis = "[-f FMT] FILE",
    .notes =
        "Moves what lies at the end of FILE into free places before it and gives the rest back to\n"
        "the host; takes at most a sixteenth of what is moved (or 64 MiB) in between. What\n"
        "snapshots hold stays where it is. It can be interrupted at any time, also by a power "
        "cut:\n"
        "nothing is lost, and what was moved stays moved. FILE must not be in use."};

struct CompactVerbOptions {
  std::optional<std::string> format;
  std::string file;
};

ProgressTotals TotalsOf(uint64_t bytes) {
  ProgressTotals totals;
  totals.bytes = bytes;
  return totals;
}

void Tell(const CompactVerbOptions& options, const CompactReport& report, Output& output) {
  if (output.json()) {
    output.Document({{"filename", options.file},
                     {"moved-bytes", report.moved_bytes},
                     {"file-size-before", report.file_bytes_before},
                     {"file-size", report.file_bytes_after}});
    return;
  }
  output.Note(fmt::format("{}: {} moved, file size {} before, {} now", options.file,
                          FormatBytes(report.moved_bytes), FormatBytes(report.file_bytes_before),
                          FormatBytes(report.file_bytes_after)));
}

Async<ExitStatus> Compact(Context& context, const CompactVerbOptions& options) {
  CO_ASSIGN(const SpaceImage image, co_await OpenSpaceImage(context.host, options.file,
                                                            options.format, SpaceAccess::kChange));
  Progress progress(context.progress, "compact", ProgressTotals{});
  std::function<void(const CompactProgress&)> show = [&progress](const CompactProgress& done) {
    progress.SetGoal(TotalsOf(done.total_bytes));
    progress.Update(TotalsOf(done.moved_bytes));
  };
  CO_ASSIGN(const CompactReport report, co_await image.space->Compact(std::move(show)));
  progress.Finish(TotalsOf(report.moved_bytes));
  CO_TRY(co_await image.layer->Close());
  Tell(options, report, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddCompact(CLI::App& program) {
  const auto options = std::make_shared<CompactVerbOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  command->add_option("FILE", options->file, "The image")->required();
  return {command, [options](Context& context) {
            return SyncWait(context.loop, Compact(context, *options));
          }};
}

}  // namespace mica
