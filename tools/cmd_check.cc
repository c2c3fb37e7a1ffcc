// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "tools/cli/image_file.h"
#include "tools/cli/output_text.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "check",
    .summary = "Check an image for damage",
    .synopsis = "[-f FMT] [--data] [-p] [-r leaks|all] FILE",
    .notes =
        "Checks FILE itself, not its parents. A copy of every superblock is kept: damage to one "
        "of\n"
        "the two, and space that leaked, cost no data, and -r leaks undoes both.\n"
        "-r all also makes a damaged FILE usable again, by giving up what is damaged: blocks "
        "whose\n"
        "data is lost read zero, and where a part of the map is lost the parent shows through (no\n"
        "parent: zeroes). Every guest range that was lost is printed. Blocks are only read, and\n"
        "given up, with --data. Make a copy of FILE first if you can. What is left after a repair\n"
        "is checked and reported again.\n"
        "Exit status, as qemu-img check has it: 0 no damage (left), 1 the check could not be made\n"
        "(also bad usage, or the image is in use), 2 damage, 3 leaked space or a damaged second\n"
        "copy, and no other damage."};

enum class CheckStatus : int { kClean = 0, kNotMade = 1, kDamaged = 2, kLeaks = 3 };

ExitStatus AsExitStatus(CheckStatus status) {
  return static_cast<ExitStatus>(status);
}

struct CheckVerbOptions {
  std::optional<std::string> format;
  std::string repair;
  std::string file;
  bool data = false;
};

CheckStatus StatusOf(const CheckReport& report) {
  if (report.corruptions != 0) return CheckStatus::kDamaged;
  return report.leaked_bytes != 0 || report.harmless != 0 ? CheckStatus::kLeaks
                                                          : CheckStatus::kClean;
}

std::string_view NowText(CheckReport::Lost::Now now) {
  return now == CheckReport::Lost::Now::kZero ? "zero" : "parent";
}

std::string TextOf(const CheckReport& report) {
  std::string text;
  for (const std::string& repair : report.repairs) text += fmt::format("repaired: {}\n", repair);
  for (const CheckReport::Lost& lost : report.lost) {
    text += fmt::format(
        "lost: {} bytes at guest offset {}, which read {} now\n", lost.guest.length,
        lost.guest.offset,
        lost.reads == CheckReport::Lost::Now::kZero ? "zero" : "as the parent has them");
  }
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
    text += fmt::format("{} leaked; -r leaks gives them back.\n", FormatBytes(report.leaked_bytes));
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
  nlohmann::json lost = nlohmann::json::array();
  for (const CheckReport::Lost& range : report.lost) {
    lost.push_back({{"start", range.guest.offset},
                    {"length", range.guest.length},
                    {"reads", NowText(range.reads)}});
  }
  return {{"filename", file},
          {"format", format},
          {"blocks-checked", report.blocks_checked},
          {"corruptions", report.corruptions},
          {"leaked-bytes", report.leaked_bytes},
          {"harmless", report.harmless},
          {"repairs", report.repairs},
          {"lost", std::move(lost)},
          {"findings", std::move(findings)}};
}

CheckRepair RepairOf(const std::string& word) {
  if (word.empty()) return CheckRepair::kNone;
  return word == "all" ? CheckRepair::kAll : CheckRepair::kLeaks;
}

ProgressTotals TotalsOf(uint64_t bytes) {
  ProgressTotals totals;
  totals.bytes = bytes;
  return totals;
}

Async<ExitStatus> Check(Context& context, const CheckVerbOptions& options) {
  CO_ASSIGN(const ImageFormat* const format,
            co_await FormatOf(context.host, options.file, options.format));
  CheckOptions wanted(options.data ? CheckScope::kMetadataAndData : CheckScope::kMetadata);
  wanted.repair = RepairOf(options.repair);
  std::optional<Progress> progress;
  progress.emplace(context.progress, "check", ProgressTotals{});
  wanted.on_progress = [&progress](uint64_t done, uint64_t total) {
    progress->SetGoal(TotalsOf(total));
    progress->Update(TotalsOf(done));
  };
  CO_ASSIGN(const CheckReport report, co_await format->Check(context.host, options.file, wanted));
  progress.reset();
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
  const auto options = std::make_shared<CheckVerbOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  command->add_option("-r", options->repair, "Undo what can be undone, see below")
      ->type_name("leaks|all")
      ->check(CLI::IsMember({"leaks", "all"}).description(""));
  command->add_flag("--data", options->data, "Read all data too and compare it with its checksums");
  command->add_option("FILE", options->file, "The image")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Check(context, *options)); },
          &StatusOfError, AsExitStatus(CheckStatus::kNotMade)};
}

}  // namespace mica
