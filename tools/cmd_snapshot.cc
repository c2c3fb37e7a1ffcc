// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/snapshot_control.h"
#include "formats/open_chain.h"
#include "tools/cli/layer_view.h"
#include "tools/cli/output_json.h"
#include "tools/cli/snapshot_text.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "snapshot",
    .summary = "Keep states of a disk inside its image, and go back to them",
    .synopsis = "[-f FMT] [-l | -c NAME | -a NAME | -d NAME] FILE",
    .notes =
        "Without an option the snapshots are listed, also of an image that is being used. Making,\n"
        "deleting and going back copy no data and take the same time for any disk. A snapshot is\n"
        "read as FILE@NAME by all verbs that read images. Going back (-a) takes the size of the "
        "disk\n"
        "with it and drops what was written since, unless another snapshot has it."};

struct SnapshotOptions {
  std::optional<std::string> format;
  std::string file;
  bool list = false;
  std::string create;
  std::string apply;
  std::string remove;
};

Async<ExitStatus> List(Context& context, const SnapshotOptions& options) {
  CO_ASSIGN(const LayerView view,
            co_await ViewLayer(context.host, options.file, options.format, LayerDetail::kBasic));
  if (!view.epoch) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: expected a mica image, found a {} image, which keeps no "
                                "snapshots",
                                options.file, view.info.format)};
  }
  if (!context.output.json()) {
    if (!view.snapshots.empty()) context.output.Text(SnapshotLines(view.snapshots));
    co_return ExitStatus::kDone;
  }
  nlohmann::json list = nlohmann::json::array();
  for (const SnapshotInfo& snapshot : view.snapshots) list.push_back(ToJson(snapshot));
  context.output.Document(
      {{"filename", options.file}, {"epoch", *view.epoch}, {"snapshots", std::move(list)}});
  co_return ExitStatus::kDone;
}

void Tell(Context& context, const SnapshotOptions& options, std::string_view action,
          const std::string& name) {
  if (context.output.json()) {
    context.output.Document({{"filename", options.file}, {"action", action}, {"name", name}});
  } else {
    context.output.Note(fmt::format("{}: {} snapshot '{}'", options.file, action, name));
  }
}

Async<ExitStatus> Change(Context& context, const SnapshotOptions& options) {
  OpenChainOptions open;
  open.writable = true;
  open.format = options.format;
  CO_ASSIGN(const std::unique_ptr<ImageChain> chain,
            co_await OpenChain(context.host, options.file, open));
  SnapshotControl* const control = chain->layer(0).controls().snapshots;
  if (control == nullptr) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: expected a mica image, found a {} image, which keeps no "
                                "snapshots",
                                options.file, chain->layer(0).info().format)};
  }
  if (!options.create.empty()) {
    CO_ASSIGN(const SnapshotInfo made, co_await control->Create(options.create));
    CO_TRY(co_await chain->Close());
    Tell(context, options, "created", made.name);
  } else if (!options.remove.empty()) {
    CO_TRY(co_await control->Delete(options.remove));
    CO_TRY(co_await chain->Close());
    Tell(context, options, "deleted", options.remove);
  } else {
    CO_TRY(co_await control->Revert(options.apply));
    CO_TRY(co_await chain->Close());
    Tell(context, options, "went back to", options.apply);
  }
  co_return ExitStatus::kDone;
}

Async<ExitStatus> Snapshot(Context& context, const SnapshotOptions& options) {
  const bool change = !options.create.empty() || !options.apply.empty() || !options.remove.empty();
  if (change) co_return co_await Change(context, options);
  co_return co_await List(context, options);
}

}  // namespace

Verb AddSnapshot(CLI::App& program) {
  const auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  CLI::Option_group* const group = command->add_option_group("action");
  group->add_flag("-l,--list", options->list, "List the snapshots");
  const auto not_empty = CLI::Validator(
      [](const std::string& name) { return name.empty() ? "expected a name" : std::string(); }, "");
  const auto add = [&](const char* names, std::string& value, const char* description) {
    group->add_option(names, value, description)->option_text("NAME")->check(not_empty);
  };
  add("-c,--create", options->create, "Keep the disk as it is now");
  add("-a,--apply", options->apply, "Make the disk what this snapshot holds");
  add("-d,--delete", options->remove, "Forget this snapshot");
  group->require_option(0, 1);
  command->add_option("FILE", options->file, "The image")->required();
  return {command, [options](Context& context) {
            return SyncWait(context.loop, Snapshot(context, *options));
          }};
}

}  // namespace mica
