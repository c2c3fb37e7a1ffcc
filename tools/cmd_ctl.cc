// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/cli/served_image.h"
#include "tools/serve/control_client.h"
#include "tools/verbs.h"

namespace mica {
namespace {

using nlohmann::json;

constexpr VerbText kText{
    .name = "ctl",
    .summary = "Command a running server",
    .synopsis = "--control PATH COMMAND [OPTION]... [ARGUMENT]...",
    .notes =
        "Commands:\n"
        "  list              the exports and how many clients each has\n"
        "  stat              the same with counts of requests, errors, bytes and seconds,\n"
        "                    and of what came from the file of each layer\n"
        "  add [NAME=]FILE   export another image; takes the options above\n"
        "  remove NAME       end the connections to an export and close its image\n"
        "  drain NAME        hide an export from new clients, wait until those it has leave (up "
        "to\n"
        "                    --seconds), then as remove\n"
        "  limit NAME        change --iops and --bandwidth; what is not given is unlimited\n"
        "  snapshot NAME S   keep the disk as it is under the name S, while it is used\n"
        "  delete-snapshot NAME S\n"
        "                    forget such a state\n"
        "  reload            make the exports of the config file what it says now\n"
        "Requests in flight are always answered, other exports do not notice. The server's\n"
        "answer is printed as it is with --output json."};

struct CtlOptions {
  std::string control;
  std::string command;
  std::string argument;
  std::string snapshot;
  std::optional<std::string> format;
  std::optional<uint64_t> iops;
  std::optional<uint64_t> bandwidth;
  std::optional<uint32_t> connections;
  std::optional<uint32_t> seconds;
  bool read_only = false;
  bool hidden = false;
};

// Arguments that were not given are not sent: the server knows the defaults, and refuses what a
// command does not take.
Result<json> RequestFrom(const CtlOptions& options) {
  json request{{"command", options.command}};
  if (options.command == "add") {
    const ExportWord word = ParseExport(options.argument);
    request["name"] = word.name;
    std::error_code failed;
    request["file"] = std::filesystem::absolute(word.path, failed).native();
  } else if (!options.argument.empty()) {
    request["name"] = options.argument;
  }
  if (!options.snapshot.empty()) request["snapshot"] = options.snapshot;
  if (options.format) request["format"] = *options.format;
  if (options.iops) request["iops"] = *options.iops;
  if (options.bandwidth) request["bandwidth"] = *options.bandwidth;
  if (options.connections) request["connections"] = *options.connections;
  if (options.seconds) request["seconds"] = *options.seconds;
  if (options.read_only) request["read-only"] = true;
  if (options.hidden) request["hidden"] = true;
  return request;
}

void PrintExports(const json& answer, Output& output) {
  for (const json& one : answer["exports"]) {
    output.Text(fmt::format("{}\t{}\t{} bytes\t{} clients{}\n", one.value("name", ""),
                            one.value("file", ""), one.value("size", uint64_t{0}),
                            one.value("clients", 0), one.value("ready", false) ? "" : "\tbusy"));
    if (!one.contains("commands")) continue;
    for (const auto& [command, numbers] : one["commands"].items()) {
      output.Text(fmt::format("\t{}\t{} requests\t{} errors\t{} bytes\t{:.3f} s\n", command,
                              numbers.value("requests", uint64_t{0}),
                              numbers.value("errors", uint64_t{0}),
                              numbers.value("bytes", uint64_t{0}), numbers.value("seconds", 0.0)));
    }
    for (const json& layer : one.value("layers", json::array())) {
      output.Text(fmt::format("\tfrom {}\t{} reads\t{} bytes\n", layer.value("filename", ""),
                              layer.value("reads", uint64_t{0}),
                              layer.value("bytes", uint64_t{0})));
    }
  }
}

Result<ExitStatus> Ctl(Context& context, const CtlOptions& options) {
  ASSIGN(const json request, RequestFrom(options));
  ASSIGN(ControlClient server, ControlClient::Connect(options.control));
  ASSIGN(const json answer, server.Ask(request));
  if (context.output.json()) {
    context.output.Document(answer);
  } else if (answer.contains("exports")) {
    PrintExports(answer, context.output);
  } else if (answer.contains("changed")) {
    for (const json& name : answer["changed"]) {
      context.output.Text(name.get<std::string>() + "\n");
    }
  }
  return ExitStatus::kDone;
}

}  // namespace

Verb AddCtl(CLI::App& program) {
  const auto options = std::make_shared<CtlOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("--control", options->control, "The control socket of the server")
      ->type_name("PATH")
      ->required();
  AddFormat(*command, "-f,--format", options->format, "add: format of FILE");
  command->add_flag("-r,--read-only", options->read_only, "add: open FILE read-only");
  command->add_flag("--hidden", options->hidden, "add: do not list the export");
  command->add_option("--connections", options->connections, "add: clients at a time")
      ->type_name("N");
  AddSize(*command, "--iops", options->iops, "add, limit: requests a second");
  AddSize(*command, "--bandwidth", options->bandwidth, "add, limit: bytes a second");
  command->add_option("--seconds", options->seconds, "drain: how long to wait; 60 by default")
      ->type_name("N");
  command->add_option("COMMAND", options->command, "What to do")->required();
  command->add_option("ARGUMENT", options->argument, "What with");
  command->add_option("SNAPSHOT", options->snapshot, "snapshot, delete-snapshot: its name");
  return {command, [options](Context& context) { return Ctl(context, *options); }};
}

}  // namespace mica
