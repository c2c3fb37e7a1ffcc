// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/async/sync_wait.h"
#include "formats/registry.h"
#include "tools/cli/image_file.h"
#include "tools/cli/output_text.h"
#include "tools/cli/parse.h"
#include "tools/cli/quota_option.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "clone",
    .summary = "Make empty deltas over a sealed master, one per FILE",
    .synopsis = "[-F FMT] [-o KEY=VALUE,...] [-n] MASTER FILE...",
    .notes =
        "Every FILE becomes a mica image of MASTER's size that stores nothing yet. It may take\n"
        "10 GiB of the host unless -o quota=SIZE|none says otherwise; see `mica quota`. A FILE "
        "that\n"
        "exists is never replaced; when one cannot be made, those before it stay."};

struct CloneOptions {
  std::string master;
  std::optional<std::string> master_format;
  std::vector<std::string> extra;
  std::vector<std::string> files;
  bool dry_run = false;
};

// Before the first delta is made, so that a typing error leaves none behind.
Async<void> CheckAll(Host& host, const CloneOptions& options) {
  std::set<std::string> seen;
  for (const std::string& file : options.files) {
    if (!seen.insert(file).second) {
      co_return Error{Errc::kInvalidArgument, fmt::format("{}: is named twice", file)};
    }
    CO_TRY(co_await CheckImageDestination(host, file, OnExisting::kRefuse));
  }
  co_return Result<void>();
}

void Tell(const CloneOptions& options, const LayerInfo& master, Output& output) {
  if (!output.json()) {
    output.Note(
        fmt::format("{}: {} {} of {}", options.master, options.dry_run ? "would make" : "made",
                    options.files.size() == 1 ? std::string("a delta")
                                              : fmt::format("{} deltas", options.files.size()),
                    FormatBytes(master.virtual_size)));
    return;
  }
  output.Document({{"master", options.master},
                   {"format", "mica"},
                   {"virtual-size", master.virtual_size},
                   {"filenames", options.files},
                   {"dry-run", options.dry_run}});
}

Async<ExitStatus> Clone(Context& context, const CloneOptions& options) {
  CO_TRY(co_await CheckAll(context.host, options));
  CO_ASSIGN(const OpenParentImage master,
            co_await OpenParent(context.host, options.master, options.master_format));
  CO_ASSIGN(const ImageFormat* const format, FindFormat("mica"));
  std::map<std::string, std::string> extra;
  for (const std::string& pairs : options.extra) CO_TRY(ParseKeyValues(pairs, extra));
  for (const std::string& file : options.files) {
    NewImage image;
    image.path = file;
    image.format = format;
    image.options.virtual_size = master.info().virtual_size;
    CO_ASSIGN(image.options.parent, ReferenceTo(master, file));
    image.options.extra = extra;
    ApplyDefaultQuota(*format, image.options);
    if (!options.dry_run) CO_TRY(co_await CreateImage(context.host, image));
  }
  Tell(options, master.info(), context.output);
  CO_TRY(co_await master.chain->Close());
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddClone(CLI::App& program) {
  const auto options = std::make_shared<CloneOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-F,--parent-format", options->master_format, "Format of MASTER");
  command->add_option("-o", options->extra, "Options of the mica format, as for create")
      ->type_name("KEY=VALUE,...")
      ->allow_extra_args(false);
  AddDryRun(*command, options->dry_run, "Check everything and make nothing");
  command->add_option("MASTER", options->master, "The sealed image to build on")->required();
  command->add_option("FILE", options->files, "The new deltas")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Clone(context, *options)); }};
}

}  // namespace mica
