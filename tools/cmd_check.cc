// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "tools/image_file.h"
#include "tools/output_text.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "check",
    .summary = "Check an image for damage",
    .synopsis = "[-f FMT] [--data] FILE",
    .notes =
        "Checks FILE itself, not its parents. There is nothing to repair: space that leaked when\n"
        "the power failed comes back when the image is next opened for writing, and lost data has\n"
        "to come from a backup; -r is refused.\n"
        "Exit status, as qemu-img check has it: 0 no damage, 1 the check could not be made (also\n"
        "bad usage, or the image is in use), 2 damage found, 3 leaked space found and no damage."};

enum class CheckStatus : int { kClean = 0, kNotMade = 1, kDamaged = 2, kLeaks = 3 };

ExitStatus AsExitStatus(CheckStatus status) {
  return static_cast<ExitStatus>(status);
}

struct CheckOptions {
  std::optional<std::string> format;
  std::string repair;
  std::string file;
  bool data = false;
};

CheckStatus StatusOf(const CheckReport& report) {
  if (report.corruptions != 0) return CheckStatus::kDamaged;
  return report.leaked_bytes != 0 ? CheckStatus::kLeaks : CheckStatus::kClean;
}

std::string TextOf(const CheckReport& report) {
  std::string text;
  for (const CheckReport::Finding& finding : report.findings) text += finding.what + "\n";
  if (report.findings.size() == CheckReport::kFindingsMax) {
    text += fmt::format("(only the first {} findings are listed)\n", CheckReport::kFindingsMax);
  }
  text += fmt::format("{} blocks checked", report.blocks_checked);
  if (report.corruptions == 0) {
    text += ", no errors were found on the image.\n";
  } else {
    text += fmt::format(", {} errors were found on the image. Data may be corrupted.\n",
                        report.corruptions);
  }
  if (report.leaked_bytes != 0) {
    text += fmt::format("{} leaked; they come back when the image is next opened for writing.\n",
                        FormatBytes(report.leaked_bytes));
  }
  return text;
}

nlohmann::json JsonOf(const std::string& file, std::string_view format, const CheckReport& report) {
  nlohmann::json findings = nlohmann::json::array();
  for (const CheckReport::Finding& finding : report.findings) {
    nlohmann::json entry{{"what", finding.what}};
    if (finding.guest) {
      entry["start"] = finding.guest->offset;
      entry["length"] = finding.guest->length;
    }
    findings.push_back(std::move(entry));
  }
  return {{"filename", file},
          {"format", format},
          {"blocks-checked", report.blocks_checked},
          {"corruptions", report.corruptions},
          {"leaked-bytes", report.leaked_bytes},
          {"findings", std::move(findings)}};
}

Async<ExitStatus> Check(Context& context, const CheckOptions& options) {
  if (!options.repair.empty()) {
    co_return Error{
        Errc::kUnsupported,
        fmt::format("{}: expected no repair to be asked for, found -r {}: leaked space comes back "
                    "when the image is next opened for writing, and lost data cannot be made up; "
                    "try `mica check {}`",
                    options.file, options.repair, options.file)};
  }
  CO_ASSIGN(const ImageFormat* const format,
            co_await FormatOf(context.host, options.file, options.format));
  const CheckScope scope = options.data ? CheckScope::kMetadataAndData : CheckScope::kMetadata;
  CO_ASSIGN(const CheckReport report, co_await format->Check(context.host, options.file, scope));
  if (context.output.json()) {
    context.output.Document(JsonOf(options.file, format->name(), report));
  } else {
    context.output.Text(TextOf(report));
  }
  co_return AsExitStatus(StatusOf(report));
}

ExitStatus StatusOfError(const Error&) {
  return AsExitStatus(CheckStatus::kNotMade);
}

}  // namespace

Verb AddCheck(CLI::App& program) {
  const auto options = std::make_shared<CheckOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  command->add_option("-r", options->repair, "Refused, see below")
      ->type_name("leaks|all")
      ->check(CLI::IsMember({"leaks", "all"}).description(""));
  command->add_flag("--data", options->data, "Read all data too and compare it with its checksums");
  command->add_option("FILE", options->file, "The image")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Check(context, *options)); },
          &StatusOfError, AsExitStatus(CheckStatus::kNotMade)};
}

}  // namespace mica
