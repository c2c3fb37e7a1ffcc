// SPDX-License-Identifier: Apache-2.0
#include "tools/common_options.h"

#include <CLI/CLI.hpp>
#include <map>

namespace mica {

void AddCommonOptions(CLI::App& app, CommonOptions& options) {
  constexpr const char* kGroup = "Common options";
  const std::map<std::string, OutputFormat> formats{{"human", OutputFormat::kHuman},
                                                    {"json", OutputFormat::kJson}};
  const std::map<std::string, IoEngine> engines{{"auto", IoEngine::kAuto},
                                                {"uring", IoEngine::kUring},
                                                {"aio", IoEngine::kAio},
                                                {"pread", IoEngine::kPread}};
  const auto choose_format = [&options, formats](const std::string& name) {
    options.output.format = formats.at(name);
  };
  const auto choose_engine = [&options, engines](const std::string& name) {
    options.io = engines.at(name);
  };
  app.set_help_flag("-h,--help", "Print this and leave")->group(kGroup);
  app.add_option_function<std::string>("--output", choose_format,
                                       "Data on stdout for people or programs")
      ->check(CLI::IsMember({"human", "json"}))
      ->type_name("FORMAT")
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
      ->check(CLI::IsMember({"auto", "uring", "aio", "pread"}))
      ->type_name("ENGINE")
      ->group(kGroup);
}

}  // namespace mica
