// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "tools/image_file.h"
#include "tools/layer_view.h"
#include "tools/output_json.h"
#include "tools/output_text.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "seal",
    .summary = "Make an image an immutable master with an identity",
    .synopsis = "[-f FMT] [-n] FILE",
    .notes =
        "A sealed image can be the parent of others and cannot be written any more. A mica image\n"
        "carries the seal itself; beside a raw image it is FILE.seal, which belongs to it from\n"
        "then on. Sealing a raw image reads all of it."};

struct SealOptions {
  std::optional<std::string> format;
  std::string file;
  bool dry_run = false;
};

void Tell(const SealOptions& options, const LayerIdentity& identity, Output& output) {
  if (!output.json()) {
    output.Note(fmt::format("{}: sealed, digest {}", options.file, FormatHex(identity.digest)));
    return;
  }
  output.Document({{"filename", options.file}, {"sealed", true}, {"identity", ToJson(identity)}});
}

Async<ExitStatus> DryRun(Context& context, const SealOptions& options) {
  CO_ASSIGN(const LayerView view, co_await ViewLayer(context.host, options.file, options.format));
  if (view.in_use) {
    co_return Error{Errc::kBusy, fmt::format("{}: expected an image nobody uses, found one that is "
                                             "in use; try again when its user has closed it",
                                             options.file)};
  }
  if (context.output.json()) {
    context.output.Document({{"filename", options.file},
                             {"format", view.info.format},
                             {"sealed", view.info.sealed},
                             {"dry-run", true}});
  } else {
    context.output.Note(fmt::format("{}: {} {} image of {}", options.file,
                                    view.info.sealed ? "is already a sealed" : "would seal this",
                                    view.info.format, FormatBytes(view.info.virtual_size)));
  }
  co_return ExitStatus::kDone;
}

Async<ExitStatus> Seal(Context& context, const SealOptions& options) {
  if (options.dry_run) co_return co_await DryRun(context, options);
  CO_ASSIGN(const ImageFormat* const format,
            co_await FormatOf(context.host, options.file, options.format));
  CO_ASSIGN(const LayerIdentity identity, co_await format->Seal(context.host, options.file));
  Tell(options, identity, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddSeal(CLI::App& program) {
  const auto options = std::make_shared<SealOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  AddDryRun(*command, options->dry_run, "Check that it could be sealed and change nothing");
  command->add_option("FILE", options->file, "The image")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Seal(context, *options)); }};
}

}  // namespace mica
