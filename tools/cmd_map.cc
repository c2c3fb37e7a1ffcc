// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"
#include "tools/cli/image_map.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "map",
    .summary = "Show where the guest's bytes are stored",
    .synopsis = "[-f FMT] [--since EPOCH|SNAPSHOT] [--json] FILE",
    .notes =
        "For people: the stored ranges with their place and file. As JSON: an array that covers\n"
        "the disk, with the fields of qemu-img map (start, length, depth, present, zero, data,\n"
        "compressed, offset). An image that is being used is mapped all the same, as of its last\n"
        "state on disk.\n"
        "With --since: the ranges that may have changed after that snapshot was made, or after\n"
        "that epoch of `mica info`, and whether they read zero; copying them onto a copy of the\n"
        "snapshot makes it a copy of FILE. FILE may itself be a snapshot, FILE@NAME. An epoch\n"
        "that was undone by going back to a snapshot has no answer: exit status 6, take a full\n"
        "copy."};

struct MapOptions {
  std::optional<std::string> format;
  std::string file;
  std::string since;
};

// An array of one record per line, written as it grows: a map can have millions of records.
class JsonTable {
 public:
  explicit JsonTable(Output& output) : output_(output) {}

  void Add(const MapEntry& entry) {
    nlohmann::json record{
        {"start", entry.guest.offset},   {"length", entry.guest.length}, {"depth", entry.depth},
        {"present", entry.present},      {"zero", entry.zero},           {"data", entry.data},
        {"compressed", entry.compressed}};
    if (entry.host_offset) record["offset"] = *entry.host_offset;
    output_.Text((first_ ? "[" : ",\n") + record.dump());
    first_ = false;
  }
  void Finish() { output_.Text(first_ ? "[]\n" : "]\n"); }

 private:
  Output& output_;
  bool first_ = true;
};

class TextTable {
 public:
  TextTable(Output& output, ImageChain& chain) : output_(output), chain_(chain) {
    output_.Text(fmt::format("{:<16}{:<16}{:<16}{}\n", "Offset", "Length", "Mapped to", "File"));
  }

  void Add(const MapEntry& entry) {
    if (!entry.data) return;
    const std::string place =
        entry.host_offset ? fmt::format("{:#x}", *entry.host_offset) : std::string("compressed");
    output_.Text(fmt::format("{:<#16x}{:<#16x}{:<16}{}\n", entry.guest.offset, entry.guest.length,
                             place, chain_.layer(entry.depth).info().path));
  }

 private:
  Output& output_;
  ImageChain& chain_;
};

class ChangeTable {
 public:
  explicit ChangeTable(Output& output) : output_(output) {
    if (!output_.json()) output_.Text(fmt::format("{:<16}{:<16}{}\n", "Offset", "Length", "Zero"));
  }

  void Add(const ChangedPart& part) {
    if (!output_.json()) {
      output_.Text(fmt::format("{:<#16x}{:<#16x}{}\n", part.guest.offset, part.guest.length,
                               part.zero ? "yes" : "no"));
      return;
    }
    const nlohmann::json record{
        {"start", part.guest.offset}, {"length", part.guest.length}, {"zero", part.zero}};
    output_.Text((first_ ? "[" : ",\n") + record.dump());
    first_ = false;
  }
  void Finish() {
    if (output_.json()) output_.Text(first_ ? "[]\n" : "]\n");
  }

 private:
  Output& output_;
  bool first_ = true;
};

Async<std::unique_ptr<ImageChain>> OpenToLook(Context& context, const MapOptions& options) {
  OpenChainOptions open;
  open.format = options.format;
  Result<std::unique_ptr<ImageChain>> chain = co_await OpenChain(context.host, options.file, open);
  if (chain || chain.error().code != Errc::kBusy) co_return chain;
  context.output.Note(fmt::format("{}: is in use; its map may already be another", options.file));
  open.without_locks = true;
  co_return co_await OpenChain(context.host, options.file, open);
}

Async<ExitStatus> Map(Context& context, const MapOptions& options) {
  CO_ASSIGN(const std::unique_ptr<ImageChain> chain, co_await OpenToLook(context, options));
  if (!options.since.empty()) {
    ChangeTable table(context.output);
    const std::function<void(const ChangedPart&)> add = [&](const ChangedPart& p) { table.Add(p); };
    CO_TRY(co_await MapChanges(*chain, options.since, add));
    table.Finish();
    CO_TRY(co_await chain->Close());
    co_return ExitStatus::kDone;
  }
  std::function<void(const MapEntry&)> visit;
  JsonTable json(context.output);
  if (context.output.json()) {
    visit = [&json](const MapEntry& entry) { json.Add(entry); };
    CO_TRY(co_await MapImage(*chain, visit));
    json.Finish();
  } else {
    TextTable text(context.output, *chain);
    visit = [&text](const MapEntry& entry) { text.Add(entry); };
    CO_TRY(co_await MapImage(*chain, visit));
  }
  CO_TRY(co_await chain->Close());
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddMap(CLI::App& program) {
  const auto options = std::make_shared<MapOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  command->add_option("--since", options->since, "Only what has changed since then")
      ->option_text("EPOCH|SNAPSHOT");
  command->add_option("FILE", options->file, "The image")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Map(context, *options)); }};
}

}  // namespace mica
