// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

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
    .name = "create",
    .summary = "Make a new image",
    .synopsis = "[-f FMT] [-b PARENT [-F FMT] [--unsealed]] [-o KEY=VALUE,...] FILE [SIZE]",
    .notes =
        "With -b the new image is an empty delta over PARENT, which must be sealed and is named\n"
        "as seen from the working directory; the delta records it relative to its own\n"
        "directory, with its format and identity. SIZE may be left out then: it is PARENT's.\n"
        "With --unsealed PARENT may be an image that can still change, to be tried out and folded\n"
        "back with `mica commit`; writing to PARENT in between ruins FILE, and nothing notices.\n"
        "Options of mica: quota=SIZE|none and quota_soft=SIZE|none, what the image may take of "
        "the\n"
        "host (a delta: 10 GiB unless said otherwise; see `mica quota`); log_size and "
        "log_size_max\n"
        "(bytes), uuid.\n"
        "A FILE that exists is never replaced."};

struct CreateVerbOptions {
  std::string format = "mica";
  std::optional<std::string> parent;
  std::optional<std::string> parent_format;
  std::vector<std::string> extra;
  std::string file;
  std::optional<uint64_t> size;
  bool unsealed = false;
  bool dry_run = false;
};

Error NoSize(const CreateVerbOptions& options) {
  return {Errc::kInvalidArgument,
          fmt::format("{}: expected a SIZE, as there is no parent to take it from", options.file)};
}

Result<void> ApplyParent(const CreateVerbOptions& options, const OpenParentImage& parent,
                         NewImage& image) {
  const uint64_t parent_size = parent.info().virtual_size;
  if (!options.size) image.options.virtual_size = parent_size;
  if (image.options.virtual_size < parent_size) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: expected a SIZE of at least the parent's {}, found {}",
                             options.file, FormatBytesExactly(parent_size),
                             FormatBytesExactly(image.options.virtual_size))};
  }
  ASSIGN(image.options.parent, ReferenceTo(parent, image.path));
  return {};
}

void Tell(const CreateVerbOptions& options, const NewImage& image, Output& output) {
  if (output.json()) {
    nlohmann::json document{{"filename", options.file},
                            {"format", options.format},
                            {"virtual-size", image.options.virtual_size},
                            {"dry-run", options.dry_run}};
    if (image.options.parent) document["parent"] = image.options.parent->path;
    output.Document(document);
    return;
  }
  std::string line = fmt::format("{}: {} {} image of {}", options.file,
                                 options.dry_run ? "would make a" : "made a", options.format,
                                 FormatBytes(image.options.virtual_size));
  if (image.options.parent) line += fmt::format(" over {}", image.options.parent->path);
  output.Note(line);
}

Async<ExitStatus> Create(Context& context, const CreateVerbOptions& options) {
  if (!options.parent && !options.size) co_return NoSize(options);
  NewImage image;
  image.path = options.file;
  image.options.virtual_size = options.size.value_or(0);
  for (const std::string& pairs : options.extra) {
    CO_TRY(ParseKeyValues(pairs, image.options.extra));
  }
  CO_ASSIGN(image.format, FindFormat(options.format));
  CO_TRY(co_await CheckImageDestination(context.host, image.path, OnExisting::kRefuse));
  OpenParentImage parent;  // keeps its lock until the delta exists
  if (options.parent) {
    const ParentSeal seal = options.unsealed ? ParentSeal::kOptional : ParentSeal::kRequired;
    CO_ASSIGN(parent,
              co_await OpenParent(context.host, *options.parent, options.parent_format, seal));
    CO_TRY(ApplyParent(options, parent, image));
  }
  ApplyDefaultQuota(*image.format, image.options);
  if (!options.dry_run) CO_TRY(co_await CreateImage(context.host, image));
  Tell(options, image, context.output);
  if (parent.chain) CO_TRY(co_await parent.chain->Close());
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddCreate(CLI::App& program) {
  const auto options = std::make_shared<CreateVerbOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("-f,--format", options->format,
                      "Format of the new image: mica (the default) or raw");
  command->add_option("-b,--parent", options->parent, "The sealed image to build on")
      ->type_name("PARENT");
  AddFormat(*command, "-F,--parent-format", options->parent_format, "Format of PARENT");
  command->add_flag("--unsealed", options->unsealed, "PARENT need not be sealed");
  command->add_option("-o", options->extra, "Options of the format")
      ->type_name("KEY=VALUE,...")
      ->allow_extra_args(false);
  AddDryRun(*command, options->dry_run, "Check everything and make nothing");
  command->add_option("FILE", options->file, "The new image")->required();
  AddSize(*command, "SIZE", options->size, "What the guest sees; K M G T are powers of 1024");
  return {command, [options](Context& context) {
            return SyncWait(context.loop, Create(context, *options));
          }};
}

}  // namespace mica
