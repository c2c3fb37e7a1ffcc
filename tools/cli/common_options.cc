// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/common_options.h"

#include <CLI/CLI.hpp>
#include <map>

namespace mica {

void AddCommonOptions(CLI::App& app, CommonOptions& options) {
  constexpr const char* kGroup = "Common options";
  const std::map<std::string, OutputFormat> formats{{"human", OutputFormat::kHuman},
                                                    {"json", OutputFormat::kJson}};
  const auto choose_format = [&options, formats](const std::string& name) {
    options.output.format = formats.at(name);
  };
  const auto choose_engine = [&options](const std::string& name) {
    const Result<IoEngineKind> engine = ParseIoEngine(name);
    if (!engine) throw CLI::ValidationError("--io", engine.error().message);
    options.io = *engine;
  };
  CLI::IsMember human_or_json({"human", "json"});
  human_or_json.description("");  // the type name says it
  app.set_help_flag("-h,--help", "Print this and leave")->group(kGroup);
  app.add_option_function<std::string>("--output", choose_format,
                                       "Data on stdout for people or programs")
      ->check(human_or_json)
      ->type_name("human|json")
      ->group(kGroup);
  app.add_flag_callback(
         "--json", [&options] { options.output.format = OutputFormat::kJson; },
         "The same as --output=json")
      ->group(kGroup);
  app.add_flag("-q,--quiet", options.output.quiet, "No notes on stderr, only errors")
      ->group(kGroup);
  app.add_flag_callback(
         "-p,--progress", [&options] { options.progress = ProgressMode::kShown; },
         "Show progress on stderr: a bar on a terminal, else a line a second")
      ->group(kGroup);
  app.add_option_function<std::string>("--io", choose_engine, "How files are read and written")
      ->type_name("auto|uring|aio|pread|blocking")
      ->group(kGroup);
}

}  // namespace mica
