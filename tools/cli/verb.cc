// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/verb.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "tools/cli/parse.h"

namespace mica {

namespace {

// CLI11's layout with our own synopsis, which it cannot derive.
class VerbHelp final : public CLI::Formatter {
 public:
  explicit VerbHelp(std::string usage) : usage_(std::move(usage)) {
    column_width(32);
    label("TEXT", "");  // names of positionals say enough, and options name their values
    label("REQUIRED", "");
  }

  std::string make_usage(const CLI::App*, std::string) const override { return usage_ + "\n"; }
  [[nodiscard]] const std::string& usage() const noexcept { return usage_; }

 private:
  std::string usage_;
};

}  // namespace

CLI::App* AddSubcommand(CLI::App& program, const VerbText& text) {
  CLI::App* command = program.add_subcommand(std::string(text.name), std::string(text.summary));
  SetUsage(*command, fmt::format("usage: mica {} {}", text.name, text.synopsis));
  command->footer(std::string(text.notes));
  return command;
}

void SetUsage(CLI::App& app, const std::string& line) {
  app.formatter(std::make_shared<VerbHelp>(line));
}

std::string UsageLine(const CLI::App& app) {
  const auto help = std::dynamic_pointer_cast<VerbHelp>(app.get_formatter());
  return help == nullptr ? std::string() : help->usage();
}

void AddDryRun(CLI::App& command, bool& dry_run, const std::string& what_is_shown) {
  command.add_flag("-n,--dry-run", dry_run, what_is_shown);
}

void AddFormat(CLI::App& command, const std::string& names, std::optional<std::string>& format,
               const std::string& whose) {
  command.add_option(names, format, whose + "; probed by default")->type_name("FMT");
}

void AddSize(CLI::App& command, const std::string& names, std::optional<uint64_t>& bytes,
             const std::string& description) {
  const auto take = [&bytes, names](const std::string& text) {
    Result<uint64_t> size = ParseSize(text);
    if (!size) throw CLI::ValidationError(names, size.error().message);
    bytes = *size;
  };
  command.add_option_function<std::string>(names, take, description);
}

}  // namespace mica
